"""Windows over the states that lead up to a row, rebuilt from rows that are stored once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from aitrade_cli.replay.ring import DAMAGED, UNUSABLE, Ring

Pad: TypeAlias = Literal["repeat", "zeros", "skip"]
PADS: Final[tuple[str, ...]] = get_args(Pad)
Slots: TypeAlias = Int64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Window:
    """Which slots make up each window.

    Attributes:
        slots: oldest first, the row itself last.
        whole: False where a row that belongs to it was evicted or damaged, or where the
            episode is too young and ``pad`` is ``skip``.
        beside: True where the rows lie side by side in the ring.
    """

    slots: Int64[np.ndarray, "n width"]
    whole: Bool[np.ndarray, " n"]
    beside: Bool[np.ndarray, " n"]


def windows(ring: Ring, at: Slots, width: int, pad: Pad) -> Window:
    """The ``width`` rows of the same episode that end at each slot.

    Where the episode is younger than that, its first row is repeated or zeros stand in.
    """
    index = ring.index_of(at)
    step = ring.columns["step"][at].astype(np.int64)
    reach = np.minimum(width - 1, step)
    far = index - reach
    held = far >= ring.first
    far_slot = np.where(held, far, index) % ring.capacity
    straight = held & (ring.columns["episode"][far_slot] == ring.columns["episode"][at])
    straight &= ring.columns["step"][far_slot] == step - reach
    straight &= ring.flags[far_slot] & UNUSABLE == 0
    # the row at place k is `width - 1 - k` steps older, or the first one of the episode
    older = np.arange(width - 1, -1, -1)
    slots = (index[:, None] - np.minimum(older, reach[:, None])) % ring.capacity
    if ring.damaged:  # one in the middle has its numbers still, but its record is torn
        straight &= (ring.flags[slots] & DAMAGED == 0).all(axis=1)
    whole = straight.copy()
    for row in np.flatnonzero(~straight):
        whole[row] = walk_back(ring, int(index[row]), int(reach[row]), slots[row])
    if pad == "zeros":
        slots = np.where(older > reach[:, None], ring.zero_slot, slots)
    elif pad == "skip":
        whole &= reach == width - 1
    beside = straight & (reach == width - 1) & (slots[:, 0] + width - 1 == at)
    return Window(slots, whole, beside)


def walk_back(ring: Ring, index: int, reach: int, slots: Int64[np.ndarray, " width"]) -> bool:
    """Fill one window by the way back of each row; False where it leads to a lost row."""
    width = len(slots)
    for place in range(width - 1, width - 1 - reach, -1):
        slots[place] = index % ring.capacity
        back = int(ring.columns["back"][slots[place]])
        index -= back
        if back < 1 or index < ring.first or ring.flags[index % ring.capacity] & UNUSABLE:
            return False
    slots[: width - reach] = index % ring.capacity
    return True


def spans(
    records: UInt8[np.ndarray, "rows record"], starts: Slots, width: int
) -> UInt8[np.ndarray, "n bytes"]:
    """``width`` records from each start on, copied as one piece each."""
    length = records.shape[1]
    every = np.ndarray(
        (len(records) - width + 1,), np.dtype(f"V{width * length}"), records, 0, (length,)
    )
    return every[starts].view(np.uint8).reshape(len(starts), width * length)
