"""Small frames that behave like those of a game: a still picture, a few things that move."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def frames(count: int, side: int = 24, *, seed: int = 0) -> UInt8[np.ndarray, "count bytes"]:
    """``count`` frames of ``side`` x ``side`` bytes, one a row."""
    rng = np.random.default_rng(seed)
    still = rng.integers(0, 255, (side, side), dtype=np.uint8)
    made = np.repeat(still[None], count, axis=0)
    for step in range(count):
        row, column = (3 * step) % (side - 2), (5 * step + 1) % (side - 2)
        made[step, row : row + 2, column : column + 2] = 255
        made[step, -1, step % side] = step % 251
    return made.reshape(count, side * side)


def noise(count: int, record: int, *, seed: int = 0) -> UInt8[np.ndarray, "count bytes"]:
    """Bytes that nothing can pack."""
    return np.random.default_rng(seed).integers(0, 256, (count, record), dtype=np.uint8)
