"""A copy of a state, into memory that is kept from one checkpoint to the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
import torch
from torch import Tensor

from aitrade_cli.system.host import usable_cores
from aitrade_cli.training.checkpoints.coding import kept_as
from aitrade_cli.training.checkpoints.tree import NotPlain, outline

WORDS: Final = {1: torch.uint8, 2: torch.uint16, 4: torch.uint32, 8: torch.uint64}
PIECE_BYTES: Final = 1 << 20  # a fifth of a millisecond: all that one thread waits for the other
WORTH_A_THREAD: Final = 16 * PIECE_BYTES
Piece = tuple[np.ndarray, np.ndarray]  # where to, and where from


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
        copy_all(live, self.tensors)
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


def copy_all(live: Sequence[Tensor], rooms: Sequence[Tensor]) -> None:
    """Copy each tensor into its room; large states on two threads.

    Torch shares each copy out in halves, and where the other core is busy it waits for it once a
    tensor: that took ten times as long on a loaded host. Here whoever is free takes the next
    piece, so a helper that gets no core costs one piece, and one that does halves the time.
    """
    pieces: deque[Piece] = deque()
    for tensor, room in zip(live, rooms, strict=True):
        pieces.extend(pieces_of(tensor, room))
    size = sum(there.nbytes for there, _ in pieces)
    if size < WORTH_A_THREAD or len(usable_cores()) < 2:
        work_off(pieces)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="snapshot") as pool:
        helper = pool.submit(work_off, pieces)
        work_off(pieces)
        helper.result()


def pieces_of(tensor: Tensor, room: Tensor) -> Iterator[Piece]:
    """A tensor in main memory, cut up; what is elsewhere is copied at once, without waiting."""
    if not tensor.is_cpu or tensor.is_complex():
        room.copy_(tensor, non_blocking=True)
        return
    word = WORDS[tensor.element_size()]
    there, here = room.view(word).numpy(), tensor.view(word).numpy()
    if not tensor.is_contiguous():
        yield there, here
        return
    there, here = there.reshape(-1), here.reshape(-1)
    each = PIECE_BYTES // there.itemsize
    for start in range(0, there.size, each):
        yield there[start : start + each], here[start : start + each]


def work_off(pieces: deque[Piece]) -> None:
    """Copy one piece after the other until none is left; several threads may do so at once."""
    while True:
        try:
            there, here = pieces.popleft()
        except IndexError:
            return
        np.copyto(there, here)  # lets go of the interpreter meanwhile


def room_for(tensor: Tensor) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)


def versions(live: Sequence[Tensor]) -> list[int]:
    # Torch counts every change in place; only tensors of inference mode have no count.
    return [-1 if tensor.is_inference() else tensor._version for tensor in live]
