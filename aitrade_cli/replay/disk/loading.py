"""Fill the ring with what lies on disk, and tie the rows together again."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import UInt8

from aitrade_cli.replay.disk.packing import decoded, whole_rows
from aitrade_cli.replay.disk.scanning import Found, Mapped, columns_bytes, payload_bytes
from aitrade_cli.replay.disk.survey import Segment
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import (
    COLUMNS,
    DAMAGED,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    UNUSABLE,
    Ring,
)

ROWS_AT_ONCE: Final = 65_536
Rows = UInt8[np.ndarray, "n record"]


def load_segment(ring: Ring, segment: Segment, total: int, codecs: list[Codec]) -> None:
    """Take up the blocks of a segment that hold rows from ``ring.total`` to ``total``.

    Args:
        ring: rows up to ``ring.total`` are in it.
        segment: the file.
        total: rows acknowledged; what lies behind is left.
        codecs: of the store.

    Raises:
        Moved: the file was let go of or rewritten; what came before it is in the ring.
    """
    if segment.end_row <= ring.total:
        return
    with Mapped(segment.path, segment.inode) as data:
        for found in segment.found:
            header = found.header
            if header.end > total or header.end <= ring.total:
                continue
            if header.first > ring.total:
                lose(ring, header.first)
            load_block(ring, data, found, total, codecs)


def load_block(ring: Ring, data: memoryview, found: Found, total: int, codecs: list[Codec]) -> None:
    header = found.header
    if header.is_hole:
        lose(ring, header.end)
        return
    piece = columns_bytes(data, found)
    if piece is None or len(piece) != header.count * COLUMNS.itemsize:
        lose(ring, header.end)
        return
    columns = np.frombuffer(piece, COLUMNS)
    skip = ring.total - header.first
    start = max(header.first, total - ring.resident)
    put_columns(ring, columns[skip:])
    if start < header.end:
        put_records(ring, data, found, codecs)


def put_columns(ring: Ring, columns: np.ndarray) -> None:
    """Columns of the next rows; of more than the ring holds, the newest stay."""
    index = ring.total + np.arange(len(columns))
    ring.columns[index % ring.capacity] = columns
    ring.flags[index % ring.capacity] = columns["flags"]
    ring.total += len(columns)


def put_records(ring: Ring, data: memoryview, found: Found, codecs: list[Codec]) -> None:
    """Records of a block whose columns were put already; rows that are torn are lost."""
    header = found.header
    payload, right = payload_bytes(data, found)
    records = decoded(payload, header, codecs, ring.schema.record_bytes)
    index = header.first + np.arange(header.count)
    live = index >= header.end - min(ring.resident, ring.capacity)
    if records is None:
        mark_damaged(ring, index[live])
        return
    ring.records[index[live] % ring.resident] = records[live]
    if ring.rewards is not None and ring.resident < ring.capacity:
        names = records.view(ring.schema.record)[:, 0]
        ring.rewards[index[live] % ring.capacity] = names["reward"][live]
    if not right:
        torn = live & ~whole_rows(records, header.first)
        mark_damaged(ring, index[torn])


def mark_damaged(ring: Ring, index: np.ndarray) -> None:
    ring.damaged |= len(index) > 0
    ring.columns[index % ring.capacity] = np.zeros(len(index), COLUMNS)
    ring.flags[index % ring.capacity] = DAMAGED


def lose(ring: Ring, end: int) -> None:
    """Rows from ``ring.total`` to ``end`` are known by their number only."""
    start = max(ring.total, end - ring.capacity)
    mark_damaged(ring, np.arange(start, end))
    ring.total = end


def pass_over(ring: Ring, index: np.ndarray) -> None:
    """Never offer live rows again, nor those that lead to them."""
    index = index[(index >= ring.first) & (index < ring.total)]
    slots = index % ring.capacity
    back = ring.columns["back"][slots]
    before = (index - back) % ring.capacity
    led = (back > 0) & (index - back >= ring.first) & (ring.following[before] == slots)
    ring.following[before[led]] = NOTHING
    ring.following[slots] = NOTHING
    ring.unusable += int(np.count_nonzero(ring.flags[slots] & UNUSABLE == 0))
    ring.flags[slots] |= DAMAGED
    ring.damaged |= len(index) > 0


def tie(ring: Ring, since: int) -> None:
    """Rebuild links and counts after rows from ``since`` on were loaded."""
    first = max(since, ring.first)
    for start in range(first, ring.total, ROWS_AT_ONCE):
        tie_some(ring, np.arange(start, min(start + ROWS_AT_ONCE, ring.total)))
    # slots past the newest row of a ring that is not full hold zeros
    ring.unusable = sum(
        int(np.count_nonzero(ring.flags[start : start + ROWS_AT_ONCE] & UNUSABLE))
        for start in range(0, ring.capacity, ROWS_AT_ONCE)
    )


def tie_some(ring: Ring, index: np.ndarray) -> None:
    slots = index % ring.capacity
    columns, flags = ring.columns[slots], ring.flags[slots]
    ring.following[slots] = NOTHING
    ring.next_episode = max(ring.next_episode, int(columns["episode"].max()) + 1)
    if ring.schema.stores_next:
        ring.following[slots] = np.where(flags & UNUSABLE, NOTHING, slots)
        return
    before = index - columns["back"]
    linked = (columns["back"] > 0) & (before >= ring.first) & (flags & DAMAGED == 0)
    # a damaged row leads nowhere, though the one after it is whole
    linked &= ring.flags[before % ring.capacity] & DAMAGED == 0
    # Where a state was kept at a commit and came again as a row, the row is the later one.
    ring.following[before[linked] % ring.capacity] = slots[linked]
    ended = (flags & TERMINATED > 0) & (flags & NO_LAST_STATE > 0)
    ring.following[slots[ended]] = ring.zero_slot
