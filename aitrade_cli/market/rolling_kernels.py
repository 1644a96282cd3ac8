"""Loops over trailing windows that copy no window. Each adds in the order in which NumPy does."""

from __future__ import annotations

import numpy as np

from aitrade_cli.system.compiled import kernel

LANES = 8  # running sums that NumPy keeps side by side
LONGEST = 128  # up to here NumPy adds in one block; beyond it halves the run first


@kernel
def block_sum(values: np.ndarray, start: int, length: int) -> float:
    """Add ``length`` numbers, at most ``LONGEST``, as ``numpy.add.reduce`` adds them."""
    if length < LANES:
        total = 0.0
        for k in range(start, start + length):
            total += values[k]
        return total
    a, b, c, d = values[start], values[start + 1], values[start + 2], values[start + 3]
    e, f, g, h = values[start + 4], values[start + 5], values[start + 6], values[start + 7]
    whole = length - length % LANES
    for k in range(start + LANES, start + whole, LANES):
        a += values[k]
        b += values[k + 1]
        c += values[k + 2]
        d += values[k + 3]
        e += values[k + 4]
        f += values[k + 5]
        g += values[k + 6]
        h += values[k + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for k in range(start + whole, start + length):
        total += values[k]
    return total


@kernel
def window_means(values: np.ndarray, length: int, out: np.ndarray) -> None:
    """``out[t]`` becomes the mean of ``values[t : t + length]``."""
    for t in range(len(out)):
        out[t] = block_sum(values, t, length) / length


@kernel
def window_spreads(values: np.ndarray, length: int, mean: np.ndarray, out: np.ndarray) -> None:
    """``out[t]`` becomes the standard deviation of ``values[t : t + length]``."""
    squares = np.empty(length)
    for t in range(len(out)):
        for k in range(length):
            away = values[t + k] - mean[t]
            squares[k] = away * away
        out[t] = np.sqrt(block_sum(squares, 0, length) / length)
