"""The loops of the sum tree. They trust their arguments: `SumTree` is the way in.

``leaves`` is padded to groups of sixteen, and so is every level of ``sums``; ``starts[k]``
is where level k begins, the lowest first. Every sum is that of its sixteen children from
left to right in float64, so it depends on the leaves alone and not on how they came.
"""

from __future__ import annotations

import numpy as np

from aitrade_cli.replay.compiled import kernel

FAN_OUT = 16


@kernel
def sum_groups(
    leaves: np.ndarray, sums: np.ndarray, starts: np.ndarray, first: int, last: int
) -> None:
    """Renew every sum above the leaves ``first .. last``."""
    low, high = first // FAN_OUT, last // FAN_OUT
    for group in range(low, high + 1):
        run = 0.0
        for k in range(FAN_OUT):
            run += np.float64(leaves[group * FAN_OUT + k])
        sums[starts[0] + group] = run
    for level in range(1, len(starts)):
        low, high = low // FAN_OUT, high // FAN_OUT
        for group in range(low, high + 1):
            below = starts[level - 1] + group * FAN_OUT
            run = 0.0
            for k in range(FAN_OUT):
                run += sums[below + k]
            sums[starts[level] + group] = run


@kernel
def sum_above(leaves: np.ndarray, sums: np.ndarray, starts: np.ndarray, slots: np.ndarray) -> None:
    """Renew every sum above some leaves, in any order, repeats allowed."""
    count = len(slots)
    for q in range(count):
        group = slots[q] // FAN_OUT
        run = 0.0
        for k in range(FAN_OUT):
            run += np.float64(leaves[group * FAN_OUT + k])
        sums[starts[0] + group] = run
    reach = FAN_OUT
    for level in range(1, len(starts)):
        reach *= FAN_OUT
        groups = (starts[level] - starts[level - 1]) // FAN_OUT
        # Where a level is smaller than the batch, each of its sums is renewed once.
        several = groups > count
        for q in range(count if several else groups):
            group = slots[q] // reach if several else q
            below = starts[level - 1] + group * FAN_OUT
            run = 0.0
            for k in range(FAN_OUT):
                run += sums[below + k]
            sums[starts[level] + group] = run


@kernel
def total_of(sums: np.ndarray, starts: np.ndarray) -> float:
    total = 0.0
    for k in range(FAN_OUT):
        total += float(sums[starts[-1] + k])
    return total


@kernel
def descend(
    leaves: np.ndarray, sums: np.ndarray, starts: np.ndarray, rest: np.ndarray, slots: np.ndarray
) -> None:
    """For each target find the leaf whose share of the running sum holds it.

    All targets take one level together: their cache misses overlap, and nothing branches.
    ``rest`` holds the targets, in [0, total), and is used up.
    """
    for q in range(len(rest)):
        slots[q] = 0
    for level in range(len(starts) - 1, -1, -1):
        for q in range(len(rest)):
            node = starts[level] + slots[q] * FAN_OUT
            run, before, child = 0.0, 0.0, 0
            for k in range(FAN_OUT):
                run += sums[node + k]
                if run <= rest[q]:
                    before, child = run, k + 1
            if child == FAN_OUT:  # rounding put the target at the end: the last that is not 0
                child = FAN_OUT - 1
                while child > 0 and sums[node + child] == 0.0:
                    child -= 1
            slots[q] = slots[q] * FAN_OUT + child
            rest[q] -= before
    for q in range(len(rest)):
        node = slots[q] * FAN_OUT
        run, child = 0.0, 0
        for k in range(FAN_OUT):
            run += np.float64(leaves[node + k])
            if run <= rest[q]:
                child = k + 1
        if child == FAN_OUT:
            child = FAN_OUT - 1
            while child > 0 and leaves[node + child] == 0.0:
                child -= 1
        slots[q] = node + child


@kernel
def draw_strata(
    leaves: np.ndarray,
    sums: np.ndarray,
    starts: np.ndarray,
    noise: np.ndarray,
    slots: np.ndarray,
    values: np.ndarray,
) -> None:
    """One leaf from each of n equal shares of the total; ``noise`` says where in its share."""
    count = len(noise)
    share = total_of(sums, starts) / count
    for q in range(count):
        noise[q] = (q + noise[q]) * share
    descend(leaves, sums, starts, noise, slots)
    for q in range(count):
        values[q] = np.float64(leaves[slots[q]])


@kernel
def first_unusable(values: np.ndarray, most: float) -> int:
    """Position of the first that is negative, above ``most`` or no number; -1 where none is."""
    for q in range(len(values)):
        if not 0.0 <= values[q] <= most:
            return q
    return -1
