"""The replay store: one engine in memory and on disk."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Literal

import numpy as np

from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.interfaces import Codec, Indices, Sampler, Value
from aitrade_cli.replay.schema import Schema


class ReplayStore:
    """Rows of experience in a ring, in memory or in a folder.

    Args:
        place: a schema for a store in memory, or the folder of one on disk.
        capacity: rows that are kept; the oldest go first. Only for a new store.
        schema: of a new store on disk.
        memory: bytes that may be used for rows; what does not fit is read from disk.
        sampler: how batches are drawn; uniformly without it.
        codec: how blocks are packed on disk, by name; ``raw`` without it.
        mode: ``a`` to add, ``r`` to read beside a writer.
        seed: of the draws.
    """

    def __init__(
        self,
        place: Schema | Path | str,
        capacity: int | None = None,
        *,
        schema: Schema | None = None,
        memory: int | None = None,
        sampler: Sampler | None = None,
        codec: Codec | None = None,
        mode: Literal["a", "r"] = "a",
        seed: int = 0,
    ) -> None: ...

    # schema: Schema; capacity, first, total: int (see interfaces.py); sampler: Sampler
    # records: UInt8[capacity, record] where all rows are in memory, else None

    def __len__(self) -> int:
        """Transitions that can be drawn."""
        ...

    def add(
        self,
        obs: Value,
        act: Value,
        reward: float,
        next_obs: Value = None,
        terminated: bool = False,
        truncated: bool = False,
        *,
        env: int = 0,
        **more: Value,
    ) -> int:
        """One transition; its index."""
        ...

    def add_batch(self, *, env: int = 0, **fields: Value) -> None:
        """Consecutive transitions of one environment: arrays of n rows by field name."""
        ...

    def add_vector(self, *, final_obs: Value = None, **fields: Value) -> None:
        """One transition of each of n environments: row k belongs to environment k."""
        ...

    def sample(
        self,
        batch: int,
        *,
        n_step: int = 1,
        discount: float = 0.99,
        window: int = 0,
        pad: Literal["repeat", "zeros", "skip"] = "repeat",
        device: str | None = None,
    ) -> Batch:
        """Draw a batch: NumPy views, or torch tensors where ``device`` is given."""
        ...

    def rows(self, indices: Indices, *, n_step: int = 1, discount: float = 0.99) -> Batch:
        """The same for rows that somebody else chose."""
        ...

    def sampleable(self, indices: Indices) -> np.ndarray: ...

    def column(self, name: str, indices: Indices) -> np.ndarray: ...

    def update_priorities(self, indices: Indices, priorities: np.ndarray) -> None: ...

    def commit(self) -> int:
        """Rows that survive a kill from now on."""
        ...

    def close(self) -> None: ...

    def __enter__(self) -> ReplayStore: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
