"""The loops of the sum tree. They trust their arguments: `SumTree` is the way in.

``leaves`` is padded to groups of sixteen, and so is every level of ``sums``; ``starts[k]``
is where level k begins, the lowest first. Every sum is that of its sixteen children from
left to right in float64, so it depends on the leaves alone and not on how they came.
"""

from __future__ import annotations

import numpy as np

from aitrade_cli.system.compiled import kernel

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
def touch(table: np.ndarray, start: int, step: int, places: np.ndarray) -> float:
    """Read the nodes that are looked at next: all their cache misses run at once."""
    seen = 0.0
    half = FAN_OUT // 2
    for q in range(len(places)):
        node = start + places[q] // step * FAN_OUT
        seen += float(table[node]) + float(table[node + half])
    return seen


@kernel
def descend(
    leaves: np.ndarray, sums: np.ndarray, starts: np.ndarray, rest: np.ndarray, slots: np.ndarray
) -> float:
    """For each target find the leaf whose share of the running sum holds it.

    All targets take one level together, and nothing branches. ``rest`` holds the targets,
    in [0, total), and is used up. What is returned only keeps the reads ahead from being
    left out.
    """
    seen = 0.0
    for q in range(len(rest)):
        slots[q] = 0
    for level in range(len(starts) - 1, -1, -1):
        seen += touch(sums, starts[level], 1, slots)
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
    seen += touch(leaves, 0, 1, slots)
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
    return seen


@kernel
def draw_strata(
    leaves: np.ndarray, sums: np.ndarray, starts: np.ndarray, noise: np.ndarray, slots: np.ndarray
) -> float:
    """One leaf from each of n equal shares of the total; ``noise`` says where in its share.

    Returns the total. ``noise`` holds what each of the leaves weighs afterwards.
    """
    count = len(noise)
    total = total_of(sums, starts)
    for q in range(count):
        noise[q] = (q + noise[q]) * (total / count)
    descend(leaves, sums, starts, noise, slots)
    for q in range(count):
        noise[q] = np.float64(leaves[slots[q]])
    return total


@kernel
def draw_rows(
    leaves: np.ndarray,
    sums: np.ndarray,
    starts: np.ndarray,
    noise: np.ndarray,
    rows: np.ndarray,
    newest: int,
    capacity: int,
) -> float:
    """`draw_strata` for a ring: numbers of rows instead of slots."""
    total = total_of(sums, starts)
    if total <= 0.0:
        return total
    draw_strata(leaves, sums, starts, noise, rows)
    last = newest % capacity
    for q in range(len(rows)):
        rows[q] += newest - last - (capacity if rows[q] > last else 0)
    return total


@kernel
def update_rows(
    leaves: np.ndarray,
    sums: np.ndarray,
    starts: np.ndarray,
    rows: np.ndarray,
    priorities: np.ndarray,
    rule: tuple[float, float, float, float],
    live: tuple[int, int, int],
    usable: np.ndarray,
) -> tuple[int, int, float]:
    """Give rows of a ring the weight ``(priority + epsilon) ** alpha``.

    ``rule`` is alpha, epsilon and the least and most that a weight may be, ``live`` the
    first row, one past the last, and the capacity. Rows that went are left out; those that
    are not ``usable`` weigh nothing whatever their priority. Returns the position of the
    first priority that cannot be used, or -1, with nothing changed where there is one; how
    many rows had gone; and the largest priority, epsilon included.
    """
    alpha, epsilon, least, most = rule
    first, end, capacity = live
    count, largest = 0, 0.0
    slots = np.empty(len(rows), dtype=np.int64)
    weights = np.empty(len(rows), dtype=np.float32)
    for q in range(len(rows)):
        weight = (priorities[q] + epsilon) ** alpha
        if not (priorities[q] >= 0.0 and weight <= most):
            return q, 0, 0.0
        if first <= rows[q] < end:
            slots[count] = rows[q] % capacity
            weights[count] = max(weight, least) if weight > 0.0 and usable[q] else 0.0
            if usable[q]:
                largest = max(largest, priorities[q] + epsilon)
            count += 1
    if count:
        touch(leaves, 0, FAN_OUT, slots[:count])
        for q in range(count):
            leaves[slots[q]] = weights[q]
        sum_above(leaves, sums, starts, slots[:count])
    return -1, len(rows) - count, largest


@kernel
def first_unusable(values: np.ndarray, most: float) -> int:
    """Position of the first that is negative, above ``most`` or no number; -1 where none is."""
    for q in range(len(values)):
        if not 0.0 <= values[q] <= most:
            return q
    return -1
