"""Which rows a sampler knows of, which have come since and which have gone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64

from aitrade_cli.replay.interfaces import Indices, LiveRows


class LiveSlots:
    """The rows taken up so far, by index and by slot of the ring.

    A row whose next state is not known yet waits; it comes once the store can draw it. That
    is the newest row of an environment at most, so however long it waits it is looked at.

    Args:
        rows: the store.
    """

    def __init__(self, rows: LiveRows) -> None:
        self.rows = rows
        self.capacity = rows.capacity
        self.first = rows.first  # of the rows taken up
        self.total = rows.first
        self._told = rows.total  # one past the newest row we heard of
        self._waiting = np.zeros(0, dtype=np.int64)

    def added(self, first: int, count: int) -> None:
        self._told = max(self._told, first + count)

    @property
    def settled(self) -> bool:
        """Nothing came or went since the last `settle`."""
        return self.total == self._told and self.first == self.rows.first

    def gone(self) -> Iterator[tuple[int, int]]:
        """Slots, as start and count, that hold a row no more and were not used again."""
        first = max(self.first, self._told - self.capacity)
        yield from self._pieces(first, min(self.rows.first, self.total))

    def came(self) -> Iterator[tuple[int, Indices, Bool[np.ndarray, " n"]]]:
        """New rows that lie side by side: their first slot, and which of them can be drawn."""
        first = max(self.total, self.rows.first, self._told - self.capacity)
        at = first
        for slot, count in self._pieces(first, self._told):
            indices = np.arange(at, at + count, dtype=np.int64)
            usable = self.rows.sampleable(indices)
            if not usable.all():
                late = indices[~usable]
                late = late[self.rows.waiting(late)]
                self._waiting = np.concatenate((self._waiting, late))
            yield slot, indices, usable
            at += count

    def became_whole(self) -> Indices:
        """Rows that could not be drawn when they came, and can now. Told once."""
        waiting = self._waiting
        if not len(waiting):
            return waiting
        usable = self.rows.sampleable(waiting)
        self._waiting = waiting[self.rows.waiting(waiting)]
        return waiting[usable]

    def settle(self) -> None:
        self.first, self.total = self.rows.first, self._told

    def restore(self, first: int, total: int) -> None:
        """Say which rows were taken up before; what is not among them is still to come."""
        self.first, self.total = first, total
        self._told = max(self.rows.total, total)
        kept = self.kept()
        self._waiting = kept[self.rows.waiting(kept)]

    def kept(self) -> Indices:
        """Every row taken up that is still there."""
        return np.arange(max(self.first, self.rows.first), self.total, dtype=np.int64)

    def usable(self) -> Indices:
        """Those of them that can be drawn."""
        kept = self.kept()
        return kept[self.rows.sampleable(kept)]

    def column(self, name: str, indices: Indices) -> np.ndarray:
        return self.rows.column(name, indices)

    def live(self, indices: Indices) -> Bool[np.ndarray, " n"]:
        return (indices >= self.first) & (indices < self.total)

    def slots_of(self, indices: Indices) -> Int64[np.ndarray, " n"]:
        return indices % self.capacity

    def indices_of(self, slots: Int64[np.ndarray, " n"]) -> Indices:
        """The rows that lie in those slots now."""
        newest = self.total - 1
        return newest - (newest - slots) % self.capacity

    def _pieces(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        while first < end:
            slot = first % self.capacity
            count = min(end - first, self.capacity - slot)
            yield slot, count
            first += count
