"""Batches that are read from disk while the learner is busy with the one before."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from aitrade_cli.replay.batch import Batch, as_tensors, new_block
from aitrade_cli.replay.disk.paging import TornRecord
from aitrade_cli.replay.interfaces import Indices
from aitrade_cli.replay.ring import DAMAGED, NOTHING, Ring
from aitrade_cli.replay.sampling.gathering import Block, Steps, Wish, follow, lay_out, needed

if TYPE_CHECKING:
    from aitrade_cli.replay.disk.folder import Disk

MOST_TORN: Final = 100  # records in one batch, before the disk itself must be broken


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows that were chosen, and the block that their records come into."""

    indices: Indices
    weights: np.ndarray | None
    steps: Steps
    block: Block
    waiting: list[Future[None]] = field(default_factory=list)


def made_of(ring: Ring, drawn: Drawn, wish: Wish, device: str | None) -> Batch:
    """The batch, once its records are there."""
    fields = lay_out(ring, drawn.block, drawn.steps, wish, len(drawn.indices))
    made = fields if device is None else as_tensors(fields, device)
    return Batch(made, drawn.indices, drawn.weights)


class Ahead:
    """Draws now what will be asked for next.

    Rows are drawn by whoever asks, in the order of the asking, and only read in the
    background: the same seed gives the same batches whatever the disk does.

    Args:
        ring: of the store.
        disk: that records are read from.
        draw: how rows are chosen.
        depth: batches that are under way.
    """

    def __init__(
        self,
        ring: Ring,
        disk: Disk | None,
        draw: Callable[[int, Wish], tuple[Indices, np.ndarray | None]],
        *,
        depth: int,
    ) -> None:
        self.ring = ring
        self.disk = disk
        self.draw = draw
        self.depth = depth
        self.kind: tuple[int, Wish, str | None] | None = None
        self.under_way: deque[Drawn] = deque()
        self.torn: list[int] = []  # rows that were found damaged and passed over

    def take(self, batch: int, wish: Wish, device: str | None) -> Batch:
        """The next batch of a kind; another kind than before starts anew.

        Raises:
            TornRecord: hardly a record can be read.
        """
        if self.kind != (batch, wish, device):
            self.drop()
            self.kind = batch, wish, device
        while True:
            drawn = self.under_way.popleft() if self.under_way else self.begin()
            while len(self.under_way) < self.depth:
                self.under_way.append(self.begin())
            try:
                for future in drawn.waiting:
                    future.result()
                return made_of(self.ring, drawn, wish, device)
            except TornRecord as error:
                if len(self.torn) >= MOST_TORN:
                    raise
                self.pass_over(error.row)

    def begin(self) -> Drawn:
        """Choose rows and start to read them."""
        if self.kind is None or self.disk is None:
            raise RuntimeError("nothing was asked for")
        batch, wish, device = self.kind
        indices, weights = self.draw(batch, wish)
        steps = follow(self.ring, indices % self.ring.capacity, wish)
        wanted = needed(self.ring, indices % self.ring.capacity, steps, wish)
        block = new_block(len(wanted), self.ring.schema.record_bytes, device)
        return Drawn(indices, weights, steps, block, self.disk.pager.begin(wanted, block))

    def pass_over(self, row: int) -> None:
        """Never offer a damaged row again, nor the one that leads to it."""
        ring = self.ring
        slot = row % ring.capacity
        before = row - int(ring.columns["back"][slot])
        if ring.first <= before < row:
            ring.following[before % ring.capacity] = NOTHING
        ring.following[slot] = NOTHING
        if not ring.flags[slot] & DAMAGED:
            ring.flags[slot] |= DAMAGED
            ring.unusable += 1
        self.torn.append(row)

    def drop(self) -> None:
        """Wait for what is under way and forget it."""
        for drawn in self.under_way:
            for future in drawn.waiting:
                future.exception()
        self.under_way.clear()
