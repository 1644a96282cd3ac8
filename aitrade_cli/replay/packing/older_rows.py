"""A store in memory that keeps its newest records as they are, and those before packed."""

from __future__ import annotations

from typing import Final

import numpy as np

from aitrade_cli.errors import Usage
from aitrade_cli.replay.packing.packed_rows import BLOCK_ROWS, PackedRows
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.gathering import Block, Slots
from aitrade_cli.replay.schema import Schema

RAW_ROWS: Final = 2 * BLOCK_ROWS  # newest rows that are not packed: one block, and what comes


class OlderRows:
    """Records for which the ring has no room.

    The store asks it what it asks a `Disk`, and neither waits for the other's kind of trouble.

    Args:
        schema: what a record holds.
        capacity: rows that are live at most; all stay raw where they are few.
        warm_rows: newest rows that are kept out of the cold tier; all without it.
    """

    def __init__(self, schema: Schema, capacity: int, warm_rows: int | None) -> None:
        if warm_rows is not None and warm_rows < 0:
            raise Usage(f"`warm_rows` counts rows, got `{warm_rows}`")
        self.ring = Ring(schema, capacity, min(capacity, RAW_ROWS))
        self.packed = PackedRows(capacity, schema.record_bytes, warm_rows=warm_rows)

    @property
    def partly(self) -> bool:
        """Whether some live records are here only."""
        return self.ring.live > self.ring.resident

    def check_open(self) -> None:
        """It always is."""

    def make_room(self, most: int) -> None:
        """Make sure that no row is overwritten before it is packed.

        Raises:
            Usage: so many rows at once do not fit beside a block that is about to be full.
        """
        ring = self.ring
        room = ring.resident - BLOCK_ROWS + 1
        if most > room and ring.resident < ring.capacity:
            raise Usage(
                f"{most} rows at once, a packed store takes {room} at most",
                hint="every environment may need two; use several stores, or do not pack",
            )

    def after_add(self) -> None:
        """Pack what makes whole blocks."""
        ring, packed = self.ring, self.packed
        if ring.resident == ring.capacity:
            return
        while ring.total - packed.total >= BLOCK_ROWS:
            start = packed.total % ring.resident
            packed.push(ring.records[start : start + BLOCK_ROWS])

    def fetch(self, slots: Slots, out: Block) -> None:
        """Copy the records of slots into ``out``."""
        ring, packed = self.ring, self.packed
        index = ring.index_of(slots)
        spare = slots >= ring.capacity
        raw = np.flatnonzero(spare | (index >= packed.total))
        rows = np.where(spare, slots - ring.capacity + ring.resident, index % ring.resident)
        out[raw] = ring.records[rows[raw]]
        older = np.flatnonzero(~spare & (index < packed.total))
        packed.take(index[older], older, out)
