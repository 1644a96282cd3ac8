"""A copy of a state, into memory that is kept from one checkpoint to the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from aitrade_cli.training.checkpoints.coding import kept_as
from aitrade_cli.training.checkpoints.tree import NotPlain, outline

WORDS: Final = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}


class TornSnapshot(RuntimeError):
    """Somebody changed the state while it was copied, so the copy is of no one moment."""


class Snapshot:
    """The state at one moment; the copy is all that the training thread waits for.

    Its memory is as large as the tensors. It is taken at the first copy and used again as long as
    the shapes stay, because taking it costs four times as much as copying. Where tensors lie on a
    GPU it is pinned.
    """

    def __init__(self) -> None:
        self.tree: object = None
        self.tensors: list[Tensor] = []

    def take(self, state: object) -> None:
        """Copy a nested state of tensors and plain data.

        Raises:
            NotPlain: an object of another kind is in it.
            TornSnapshot: a tensor changed meanwhile, in another thread.
        """
        live: list[Tensor] = []

        def keep(tensor: Tensor) -> int:
            live.append(tensor.detach())
            return len(live) - 1

        tree = outline(state, keep)
        refuse_other_tensors(live)
        if not self.fits(live):
            self.tensors = [room_for(tensor) for tensor in live]
        before = versions(live)
        for room, tensor in zip(self.tensors, live, strict=True):
            copy(tensor, room)
        if any(tensor.is_cuda for tensor in live):
            torch.cuda.synchronize()
        if versions(live) != before:
            raise TornSnapshot("the state was changed while it was copied")
        self.tree = tree

    def fits(self, live: Sequence[Tensor]) -> bool:
        return [(room.shape, room.dtype, room.is_pinned()) for room in self.tensors] == [
            (tensor.shape, tensor.dtype, tensor.is_cuda) for tensor in live
        ]


def refuse_other_tensors(live: Sequence[Tensor]) -> None:
    for tensor in live:
        try:
            kept_as(tensor)
        except ValueError as error:
            raise NotPlain(f"the state holds {error}, which a checkpoint does not hold") from error


def copy(tensor: Tensor, room: Tensor) -> None:
    if not tensor.is_cpu or tensor.is_complex():
        room.copy_(tensor, non_blocking=True)
        return
    # On one thread: torch shares each copy out, and where the other cores are busy it waits for
    # them once a tensor. That took ten times as long on a loaded host, and gained little on a
    # quiet one, because one core fills most of what memory takes.
    word = WORDS[tensor.element_size()]
    np.copyto(room.view(word).numpy(), tensor.view(word).numpy())


def room_for(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)


def versions(live: Sequence[Tensor]) -> list[int]:
    # Torch counts every change in place; only tensors of inference mode have no count.
    return [-1 if tensor.is_inference() else tensor._version for tensor in live]
