"""The loop that gathers a batch of single steps; `single_steps` checks what it is given."""

from __future__ import annotations

import numpy as np

from aitrade_cli.replay.by_address import copy_bytes, will_read
from aitrade_cli.replay.ring import FLAGS, GONE, LOW, TERMINATED, TRUNCATED
from aitrade_cli.replay.sampling.uniform import place_shares
from aitrade_cli.system.compiled import kernel


@kernel
def look_up(
    indices: np.ndarray,
    words: np.ndarray,
    total: int,
    gamma: float,
    terminated: np.ndarray,
    truncated: np.ndarray,
    discount: np.ndarray,
    places: np.ndarray,
) -> int:
    """Slots of the rows and of those that follow them; how many are followed by none."""
    count, capacity, wrong = len(indices), len(words), 0
    turn = (total - 1) // capacity * capacity
    base = words.ctypes.data
    for q in range(count):
        slot = indices[q] - turn
        places[0, q] = slot if slot >= 0 else slot + capacity
        will_read(base + places[0, q] * words.itemsize)
    for q in range(count):
        word = words[places[0, q]]
        mark = word >> FLAGS
        terminated[q] = mark & TERMINATED != 0
        truncated[q] = mark & TRUNCATED != 0
        discount[q] = 0.0 if mark & TERMINATED else gamma
        places[1, q] = word & LOW
        wrong += word & GONE != 0
    return wrong


@kernel
def which_drawable(
    indices: np.ndarray, words: np.ndarray, first: int, total: int, found: np.ndarray
) -> None:
    """Which rows are live and followed by a state."""
    capacity, base = len(words), words.ctypes.data
    for q in range(len(indices)):
        will_read(base + indices[q] % capacity * words.itemsize)
    for q in range(len(indices)):
        live = first <= indices[q] < total
        found[q] = live and words[indices[q] % capacity] & GONE == 0


@kernel
def gather_steps(
    indices: np.ndarray,
    words: np.ndarray,
    records: np.ndarray,
    total: int,
    resident: int,
    gamma: float,
    block: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    discount: np.ndarray,
) -> int:
    """Copy the records of live rows, and behind them those that begin with the next states.

    ``block`` has room for both, or for the rows alone where those hold their next states.
    All rows of the ring are in memory. Asking ahead for records was measured to gain nothing:
    the processor already overlaps the copies. Returns how many rows cannot be drawn: where there
    are any, nothing was copied.
    """
    count, capacity, length = len(indices), len(words), records.shape[1]
    places = np.empty((2, count), np.int64)
    wrong = look_up(indices, words, total, gamma, terminated, truncated, discount, places)
    if wrong:
        return wrong
    source, into = records.ctypes.data, block.ctypes.data
    for half in range(len(block) // count):
        for q in range(count):
            place = places[half, q]
            if place >= capacity:  # a spare row, which lies behind the records
                place += resident - capacity
            copy_bytes(into + (half * count + q) * length, source + place * length, length)
    return 0


@kernel
def draw_steps(
    shares: np.ndarray,
    start: int,
    indices: np.ndarray,
    words: np.ndarray,
    records: np.ndarray,
    total: int,
    resident: int,
    gamma: float,
    block: np.ndarray,
    terminated: np.ndarray,
    truncated: np.ndarray,
    discount: np.ndarray,
) -> int:
    """The same for the live rows at ``shares[start:]`` of the way from the oldest to the newest.

    Their indices are written to ``indices``, as many as it has room for.
    """
    live = min(total, len(words))
    place_shares(shares, start, total - live, live, indices)
    return gather_steps(
        indices, words, records, total, resident, gamma, block, terminated, truncated, discount
    )
