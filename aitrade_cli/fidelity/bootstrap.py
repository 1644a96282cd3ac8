"""Resample market time in blocks, so that what hangs together stays together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput

ELEMENTS_AT_ONCE: Final = 250_000  # rows held together: 2 MB of indices, which stay in cache


class TooFewReturns(BadInput):
    """A series is too short to say anything about its own scatter."""


def stationary_rows(
    bars: int, *, mean_block: float, resamples: int, seed: int
) -> Iterator[Int64[np.ndarray, "resample bars"]]:
    """Row numbers of bootstrap series, some resamples at a time.

    The stationary bootstrap: a row follows its neighbour in time (the first follows the
    last) with probability 1 - 1/mean_block, else a row is drawn anew. Used on both of two
    paired series, it keeps them paired.

    Args:
        bars: length of the series and of every resample, >= 1.
        mean_block: mean number of rows that stay together, >= 1.
        resamples: how many series to draw, >= 1.
        seed: same seed, same rows.

    Source:
        Politis & Romano 1994, The Stationary Bootstrap, J. Am. Stat. Assoc. 89:1303-1313.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, ELEMENTS_AT_ONCE // bars)
    clock = np.arange(bars)
    for start in range(0, resamples, at_once):
        shape = (min(at_once, resamples - start), bars)
        drawn = generator.integers(0, bars, size=shape)
        anew = generator.random(shape) < 1.0 / mean_block
        anew[:, 0] = True
        block_start = np.maximum.accumulate(np.where(anew, clock, 0), axis=1)
        first = np.take_along_axis(drawn, block_start, axis=1)
        yield (first + clock - block_start) % bars


def mean_block_length(*series: Float64[np.ndarray, " bars"]) -> float:
    """How long blocks must be to keep the memory of every one of these series.

    The longest of the automatic choices of each, and at least the cube root of the number
    of bars. A constant series asks for nothing.

    Raises:
        TooFewReturns: fewer than 8 bars.
    """
    bars = len(series[0])
    return max(bars ** (1 / 3), *(politis_white(one) for one in series))


def politis_white(series: Float64[np.ndarray, " bars"]) -> float:
    """The automatic mean block length for the stationary bootstrap of a mean, >= 1.

    Raises:
        TooFewReturns: fewer than 8 bars.

    Source:
        Politis & White 2004, Econometric Reviews 23:53-70, with the correction by Patton,
        Politis & White 2009, Econometric Reviews 28:372-375.
    """
    bars = len(series)
    if bars < 8:
        raise TooFewReturns(f"{bars} bars are too few to choose a block length")
    centred = series - series.mean()
    if np.allclose(centred, 0.0, atol=1e-15):
        return 1.0
    patience = max(5, int(math.log10(bars)))
    lags = math.ceil(math.sqrt(bars)) + patience
    lags = min(lags, bars - 2)
    autocovariance = np.array([centred[k:] @ centred[: bars - k] for k in range(lags + 1)]) / bars
    bandwidth = _bandwidth(centred, autocovariance, patience)
    lag = np.arange(1, bandwidth + 1)
    taper = np.minimum(1.0, 2.0 * (1.0 - lag / bandwidth))
    curvature = 2.0 * float((taper * lag * autocovariance[lag]).sum())
    spectrum = float(autocovariance[0] + 2.0 * (taper * autocovariance[lag]).sum())
    if spectrum == 0.0:
        return 1.0
    best = (curvature**2 / spectrum**2 * bars) ** (1 / 3)
    longest = math.ceil(min(3 * math.sqrt(bars), bars / 3))
    return float(min(max(best, 1.0), longest))


def _bandwidth(
    centred: Float64[np.ndarray, " bars"],
    autocovariance: Float64[np.ndarray, " lags"],
    patience: int,
) -> int:
    """Twice the lag after which ``patience`` autocorrelations in a row are noise."""
    bars, most = len(centred), len(autocovariance) - 1
    noise = 2.0 * math.sqrt(math.log10(bars) / bars)
    square = np.concatenate([[0.0], np.cumsum(centred**2)])
    lag = np.arange(most + 1)
    # Each correlation is scaled by the two stretches it compares, one step shorter than
    # the lag asks for: as the authors' own code has it.
    late, early = square[-1] - square[lag + 1], square[bars - lag - 1]
    scale = np.sqrt(np.maximum(late * early, np.finfo(np.float64).tiny))
    quiet = np.abs(autocovariance * bars) / scale < noise
    for start in range(most - patience + 1):
        if quiet[start : start + patience].all():
            return min(2 * max(start, 1), most)
    return most
