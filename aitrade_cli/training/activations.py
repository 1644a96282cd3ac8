"""What a network keeps for going back, counted in bytes, and how to keep less of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from aitrade_cli.errors import Usage
from aitrade_cli.training.second_pass import Kept, Record, Replay


class NothingToRecompute(Usage):
    """The network has no row of blocks whose activations could be made twice."""

    default_hint = "leave `--activation-checkpointing` out, or use `--accumulate` to save memory"


_WATCHING: list[Meter] = []  # those under way: what is kept beside autograd is told to them


class Meter:
    """Bytes that autograd holds on to: now, at the most so far, and all that it ever took.

    What is kept for a block to be computed again counts too. Storages count once, however many
    nodes hold them; parameters do not count, they are there anyway.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.live_bytes = self.peak_bytes = self.total_bytes = 0
        self._free = {one.untyped_storage().data_ptr() for one in parameters}
        self._held: Counter[int] = Counter()

    def take(self, value: Tensor) -> Held:
        return Held(self, value)

    def add(self, key: int, size: int) -> None:
        self._held[key] += 1
        if self._held[key] == 1 and key not in self._free:
            self.live_bytes += size
            self.total_bytes += size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def drop(self, key: int, size: int) -> None:
        self._held[key] -= 1
        if not self._held[key] and key not in self._free:
            self.live_bytes -= size


class Held:
    """One tensor that autograd saved; gone when the graph lets go of it."""

    __slots__ = ("key", "meter", "size", "value")

    def __init__(self, meter: Meter, value: Tensor) -> None:
        storage = value.untyped_storage()
        self.meter, self.value = meter, value
        self.key, self.size = storage.data_ptr(), storage.nbytes()
        meter.add(self.key, self.size)

    def __del__(self) -> None:
        self.meter.drop(self.key, self.size)


@contextmanager
def watched(parameters: Iterable[Tensor]) -> Iterator[Meter]:
    """Count what autograd saves inside: the same numbers on every machine."""
    meter = Meter(parameters)
    _WATCHING.append(meter)
    try:
        with torch.autograd.graph.saved_tensors_hooks(meter.take, lambda held: held.value):
            yield meter
    finally:
        _WATCHING.remove(meter)


def seen(value: Tensor) -> list[Held]:
    """Tell the meters that are under way; each lets go of it with what it returns."""
    return [meter.take(value) for meter in _WATCHING]


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network: children of its lists, the outermost ones.

    A sequence counts where it holds two blocks or more with weights and no row of blocks lies
    deeper: an embedding, an encoder and a head are no repetition, the encoder's layers are.
    """
    row = weighty(network) if isinstance(network, nn.ModuleList | nn.Sequential) else []
    least = 1 if isinstance(network, nn.ModuleList) else 2
    deeper = isinstance(network, nn.Sequential) and any(holds_a_row(one) for one in row)
    if len(row) >= least and not deeper:
        return row
    return [block for part in network.children() for block in blocks_of(part)]


def weighty(parts: nn.Module) -> list[nn.Module]:
    return [one for one in parts.children() if any(True for _ in one.parameters())]


def holds_a_row(network: nn.Module) -> bool:
    """Whether a list of two blocks or more lies in it."""
    return any(
        isinstance(one, nn.ModuleList) and len(weighty(one)) > 1 for one in network.modules()
    )


def recompute(network: nn.Module) -> Callable[[], None]:
    """Keep only what enters each block and what its dropout drew; run the block again going back.

    Dropout uses the same numbers the second time, and buffers, such as a batch norm's running
    mean, are put back after it: gradients and buffers are those of a plain pass, bit by bit.
    Nothing changes in evaluation mode.

    Args:
        network: changed in place.

    Returns:
        Undoes it.

    Raises:
        NothingToRecompute: there are no repeated blocks.

    Source:
        Chen et al. 2016. https://arxiv.org/abs/1604.06174
    """
    blocks = blocks_of(network)
    if not blocks:
        raise NothingToRecompute(f"`{type(network).__name__}` has no repeated blocks to recompute")
    for block in blocks:
        block.forward = Twice(block)

    def undo() -> None:
        for block in blocks:
            block.__dict__.pop("forward", None)

    return undo


class Twice:
    """A block's forward pass, to be run again going back.

    Attributes:
        keeps: it may have what is worth keeping; looked for in the first pass only.
    """

    def __init__(self, block: nn.Module) -> None:
        self.block, self.forward = block, block.forward
        self.keeps = True

    def __call__(self, *inputs: Any, **named: Any) -> Any:  # noqa: ANN401 -- as the block's own
        if not (self.block.training and torch.is_grad_enabled()):
            return self.forward(*inputs, **named)
        buffers = list(self.block.buffers())
        kept = Kept(seen) if self.keeps and all_on_cpu(inputs) else None
        if buffers or kept is not None:
            named["context_fn"] = partial(_contexts, buffers, kept)
        out = checkpoint(self.forward, *inputs, use_reentrant=False, **named)
        if kept is not None:
            self.keeps = bool(kept.tensors)
        return out


def all_on_cpu(inputs: Sequence[object]) -> bool:
    """Where draws are slow. A compiler has random numbers of its own, and sees through no mode."""
    if torch.compiler.is_compiling():
        return False
    return all(one.is_cpu for one in inputs if isinstance(one, Tensor))


def _contexts(
    buffers: Sequence[Tensor], kept: Kept | None
) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    first = nullcontext() if kept is None else Record(kept)
    return first, _Again(buffers, kept)


class _Again(AbstractContextManager[None]):
    """Around the second pass; each time one is made, where a graph goes back more than once."""

    def __init__(self, buffers: Sequence[Tensor], kept: Kept | None) -> None:
        self.buffers = buffers
        self.replay = None if kept is None else Replay(kept)
        self.before: list[Tensor] = []

    def __enter__(self) -> None:
        self.before = [one.detach().clone() for one in self.buffers]
        if self.replay is not None:
            self.replay.__enter__()

    def __exit__(self, *error: Any) -> None:  # noqa: ANN401 -- as given
        if self.replay is not None:
            self.replay.__exit__(*error)
        for buffer, value in zip(self.buffers, self.before, strict=True):
            # Past the version counter: going back, training mode reads no running statistic.
            buffer.data.copy_(value)
