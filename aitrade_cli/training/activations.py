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


class NothingToRecompute(Usage):
    """The network has no row of blocks whose activations could be made twice."""

    default_hint = "leave `--activation-checkpointing` out, or use `--accumulate` to save memory"


class Meter:
    """Bytes that autograd holds on to: now, at the most so far, and all that it ever took.

    Storages count once, however many nodes hold them; parameters do not count, they are there
    anyway.
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
    with torch.autograd.graph.saved_tensors_hooks(meter.take, lambda held: held.value):
        yield meter


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The repeated blocks of a network: children of its lists, the outermost ones.

    A sequence counts where it holds two blocks or more with weights; one is no repetition.
    """
    found: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for part in network.modules():
        if part in inside or not isinstance(part, nn.ModuleList | nn.Sequential):
            continue
        weighty = [one for one in part if any(True for _ in one.parameters())]
        if len(weighty) >= (1 if isinstance(part, nn.ModuleList) else 2):
            found += weighty
            inside.update(below for one in weighty for below in one.modules())
    return found


def recompute(network: nn.Module) -> Callable[[], None]:
    """Keep only what enters each block, and run the block again going back.

    Dropout draws the same numbers the second time, and buffers, such as a batch norm's running
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
        block.forward = partial(_twice, block, block.forward)

    def undo() -> None:
        for block in blocks:
            block.__dict__.pop("forward", None)

    return undo


def _twice(
    block: nn.Module,
    forward: Callable[..., Any],
    *inputs: Any,  # noqa: ANN401 -- whatever the block takes
    **named: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    if not (block.training and torch.is_grad_enabled()):
        return forward(*inputs, **named)
    buffers = list(block.buffers())
    if buffers:
        named["context_fn"] = partial(_contexts, buffers)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)


def _contexts(
    buffers: Sequence[Tensor],
) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    return nullcontext(), _put_back(buffers)


@contextmanager
def _put_back(buffers: Sequence[Tensor]) -> Iterator[None]:
    before = [one.detach().clone() for one in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            # Past the version counter: going back, training mode reads no running statistic.
            buffer.data.copy_(value)
