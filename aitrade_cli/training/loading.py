"""Batches of windows: from shared memory, cut in one slice, or by worker processes ahead of use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from aitrade_cli.errors import BadInput
from aitrade_cli.training.loop import Examples

Batch = tuple[Tensor, ...]


@runtime_checkable
class Source(Protocol):
    """Rows that can be asked for in batches; it must be picklable where workers are used."""

    def __len__(self) -> int: ...

    def batch(self, rows: Int64[Tensor, " n"]) -> Batch:
        """These rows, stacked."""
        ...


@dataclass(frozen=True, slots=True)
class SharedWindows:
    """Windows of bars in memory that worker processes share instead of copying.

    Overlapping windows are stored once, as the bars that they are cut from: 64 steps of a bar
    each take a 64th of what they would as a stack.

    Attributes:
        bars: one after the other, in shared memory.
        starts: the first bar of each window.
        classes: of each window.
        time: bars in a window.
        transform: applied to each window by itself, such as an augmentation; in a worker where
            there are any, so it must be picklable.
    """

    bars: Float32[Tensor, "rows feature"]
    starts: Int64[Tensor, " n"]
    classes: Int64[Tensor, " n"]
    time: int
    transform: Callable[[Tensor], Tensor] | None = None

    @classmethod
    def of(
        cls, examples: Examples, transform: Callable[[Tensor], Tensor] | None = None
    ) -> SharedWindows:
        """Move examples to shared memory.

        Raises:
            BadInput: there are none.
        """
        if not len(examples):
            raise BadInput("there are no windows to share")
        bars, every = unrolled(examples.windows)
        count, time = examples.windows.shape[:2]
        return cls(
            bars=torch.from_numpy(bars).share_memory_(),
            starts=(torch.arange(count) * every).share_memory_(),
            classes=torch.from_numpy(np.array(examples.classes)).share_memory_(),
            time=time,
            transform=transform,
        )

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, rows: Int64[Tensor, " n"]) -> Batch:
        """Windows and classes of these rows, in memory of their own."""
        # Every possible window is in the view; indexing copies those that are wanted in one go.
        # NumPy does it on one thread: torch would wake its pool for a fraction of a millisecond.
        view = sliding_window_view(self.bars.numpy(), self.time, axis=0).transpose(0, 2, 1)
        windows = torch.from_numpy(view[self.starts.numpy()[rows.numpy()]])
        if self.transform is not None:
            windows = torch.stack([self.transform(window) for window in windows])
        return windows, self.classes[rows]

    @property
    def size_bytes(self) -> int:
        """What all of it takes, however many processes look at it."""
        return sum(part.nbytes for part in (self.bars, self.starts, self.classes))


def unrolled(
    windows: Float32[np.ndarray, "n time feature"],
) -> tuple[Float32[np.ndarray, "rows feature"], int]:
    """The bars that windows were cut from, and how many bars one starts after the other.

    Windows that do not follow each other evenly are laid end to end.
    """
    count, time, width = windows.shape
    bar = windows.strides[1]
    every = windows.strides[0] // bar if bar > 0 and windows.strides[0] % bar == 0 else 0
    if count > 1 and 0 < every < time:  # a view of overlapping bars
        rows = (count - 1) * every + time
        base = np.lib.stride_tricks.as_strided(windows, (rows, width), windows.strides[1:])
        return np.ascontiguousarray(base, dtype=np.float32).copy(), every
    if time > 1 and np.array_equal(windows[1:, :-1], windows[:-1, 1:]):  # a copy of one
        return np.concatenate([windows[0], windows[1:, -1]]).astype(np.float32), 1
    return windows.reshape(count * time, width).astype(np.float32), time


@dataclass(frozen=True, slots=True)
class LoaderSettings:
    """How batches are made.

    Attributes:
        workers: processes that make batches ahead of use; 0 makes each when it is asked for.
        prefetch: batches that each worker is ahead; of no meaning without workers.
        pinned: copy batches to page-locked memory, for faster transfer to a GPU.
    """

    workers: int = 0
    prefetch: int = 2
    pinned: bool = False

    def __post_init__(self) -> None:
        if self.workers < 0 or self.prefetch < 1:
            raise BadInput(
                f"`{self.workers}` workers that are `{self.prefetch}` batches ahead: wanted 0 or"
                " more, and 1 or more"
            )

    def __str__(self) -> str:
        ahead = f", {self.prefetch} batches ahead" if self.workers else ""
        noun = "worker" if self.workers == 1 else "workers"
        return f"{self.workers} {noun}{ahead}{', pinned' if self.pinned else ''}"


class _ByBatch(Dataset[Batch]):
    """A source whose index is a list of rows: torch's loader would ask for one row at a time."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, rows: Sequence[int]) -> Batch:
        return self.source.batch(torch.as_tensor(rows))


class _Order:
    """The batches of one pass; the workers live on from pass to pass, so it is filled anew."""

    def __init__(self) -> None:
        self.rows: tuple[Tensor, ...] = ()

    def __iter__(self) -> Iterator[list[int]]:
        return (rows.tolist() for rows in self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class Loader:
    """Hands out batches of a source in a given order. Close it, or use it in a `with`.

    The same order gives the same batches, whatever the settings.

    Args:
        source: of rows.
        settings: how.
    """

    def __init__(self, source: Source, settings: LoaderSettings | None = None) -> None:
        self.source = source
        self.settings = settings or LoaderSettings()
        self._order = _Order()
        self._workers: DataLoader[Batch] | None = None
        self._iterator: Any = None  # of a private class of torch

    def batches(self, order: Int64[Tensor, " n"], size: int) -> Iterator[Batch]:
        """The rows of ``order``, ``size`` at a time; the last batch may be smaller.

        One pass at a time: beginning another ends the one before.
        """
        yield from self.in_parts(order.split(size))

    def in_parts(self, parts: Sequence[Int64[Tensor, " _"]]) -> Iterator[Batch]:
        """A batch for each part, of any size; one pass at a time."""
        if self.settings.workers == 0:
            for rows in parts:
                yield self._placed(self.source.batch(rows))
            return
        self._order.rows = tuple(parts)
        if self._workers is None:
            self._workers = DataLoader(
                _ByBatch(self.source),
                sampler=self._order,
                batch_size=None,  # the source stacks; torch would go row by row
                num_workers=self.settings.workers,
                prefetch_factor=self.settings.prefetch,
                pin_memory=self.settings.pinned,
                persistent_workers=True,
                # Its own: else it would draw from the generator that dropout draws from.
                generator=torch.Generator().manual_seed(torch.initial_seed()),
            )
        self._iterator = iter(self._workers)
        for batch in self._iterator:
            yield tuple(batch)

    def close(self) -> None:
        """End the workers and wait for them."""
        # Torch ends them where the last reference to its iterator goes, which an exception on
        # its way out may hold for long; this is what it calls then.
        if self._iterator is not None:
            self._iterator._shutdown_workers()
        self._workers = self._iterator = None

    def _placed(self, batch: Batch) -> Batch:
        return tuple(part.pin_memory() for part in batch) if self.settings.pinned else batch

    def __enter__(self) -> Loader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def bytes_of(batch: Sequence[Float[Tensor, ...] | Int64[Tensor, ...]]) -> int:
    """What the tensors of a batch hold."""
    return sum(part.nbytes for part in batch)
