"""Batches that are read from disk while the learner is busy with the one before."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np

from aitrade_cli.replay.batch import Batch, as_tensors, new_block
from aitrade_cli.replay.disk.loading import pass_over
from aitrade_cli.replay.disk.paging import TornRecord
from aitrade_cli.replay.disk.scanning import Moved
from aitrade_cli.replay.interfaces import Indices
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.drawing import Drawing
from aitrade_cli.replay.sampling.gathering import Block, Steps, Wish, follow, lay_out, needed

if TYPE_CHECKING:
    from aitrade_cli.replay.disk.folder import Disk

MOST_TRIES: Final = 100  # of one batch, before the disk itself must be broken


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
        drawing: how rows are chosen.
        depth: batches that are under way.
    """

    def __init__(
        self,
        ring: Ring,
        disk: Disk | None,
        drawing: Drawing,
        *,
        depth: int,
    ) -> None:
        self.ring = ring
        self.disk = disk
        self.drawing = drawing
        self.depth = depth
        self.kind: tuple[int, Wish, str | None] | None = None
        self.under_way: deque[Drawn] = deque()
        self.torn: set[int] = set()  # rows that were found damaged and passed over

    def take(self, batch: int, wish: Wish, device: str | None) -> Batch:
        """The next batch of a kind; another kind than before starts anew.

        Rows that are damaged or gone are passed over and others drawn for them.

        Raises:
            TornRecord: hardly a record can be read.
            NothingToSample: hardly a row is left.
        """
        if self.kind != (batch, wish, device):
            self.drop()
            self.kind = batch, wish, device
        drawn = self.under_way.popleft() if self.under_way else self.begin()
        while len(self.under_way) < self.depth:
            self.under_way.append(self.begin())
        for _ in range(MOST_TRIES):
            try:
                for future in drawn.waiting:
                    future.result()
                return made_of(self.ring, drawn, wish, device)
            except TornRecord as error:
                self.torn.update(error.rows.tolist())
                pass_over(self.ring, error.rows)
            except Moved as error:
                self.the_disk.look_again(error)
            drawn = self.begin_again(drawn)
        for future in drawn.waiting:
            future.result()
        return made_of(self.ring, drawn, wish, device)

    @property
    def the_disk(self) -> Disk:
        if self.disk is None:
            raise RuntimeError("a store in memory reads nothing from disk")
        return self.disk

    def begin(self) -> Drawn:
        """Choose rows and start to read them."""
        if self.kind is None:
            raise RuntimeError("nothing was asked for")
        return self.read(*self.drawing.draw(*self.kind[:2]))

    def begin_again(self, drawn: Drawn) -> Drawn:
        """Start to read the same rows, and others for those that cannot be drawn any more."""
        if self.kind is None or (drawn.indices < self.ring.first).any():
            return self.begin()
        return self.read(*self.drawing.again(drawn.indices, drawn.weights, self.kind[1]))

    def read(self, indices: Indices, weights: np.ndarray | None) -> Drawn:
        """Start to read rows that were chosen."""
        if self.kind is None:
            raise RuntimeError("nothing was asked for")
        _, wish, device = self.kind
        slots = indices % self.ring.capacity
        steps = follow(self.ring, slots, wish)
        wanted = needed(self.ring, slots, steps, wish)
        block = new_block(len(wanted), self.ring.schema.record_bytes, device)
        return Drawn(indices, weights, steps, block, self.the_disk.pager.begin(wanted, block))

    def drop(self) -> None:
        """Wait for what is under way and forget it."""
        for drawn in self.under_way:
            for future in drawn.waiting:
                future.exception()
        self.under_way.clear()
