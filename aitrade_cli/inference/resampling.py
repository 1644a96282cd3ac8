"""Percentiles that have enough samples, and how far a repeat of the run could move them.

Calls follow each other closely and drift together (clock speed, neighbours), so the unit
that is drawn again is a round, never a single call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Int

DRAWS: Final = 1_000
KEPT_OF_A_ROUND: Final = 16  # order statistics that stand for a round when it is drawn again
# Ten calls beyond the percentile; with fewer it is the story of one or two outliers.
CALLS_NEEDED: Final = {50.0: 1, 99.0: 1_000, 99.9: 10_000}


@dataclass(frozen=True, slots=True)
class Interval:
    """Where 95 of 100 repeats of the run would land."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times one variant is as fast as another, and its interval."""

    value: float
    interval: Interval

    @property
    def inverse(self) -> Ratio:
        """The same comparison seen from the other side."""
        flipped = Interval(1 / self.interval.high, 1 / self.interval.low)
        return Ratio(1 / self.value, flipped)


def percentile(calls: Float[np.ndarray, "round call"], percent: float) -> float | None:
    """The percentile of all calls, or `None` where there are too few to know it.

    Args:
        calls: times of single calls, any unit.
        percent: 50, 99 or 99.9; each needs ten calls beyond it, see ``CALLS_NEEDED``.
    """
    if calls.size < CALLS_NEEDED[percent]:
        return None
    return float(np.percentile(calls, percent))


def median_interval(calls: Float[np.ndarray, "round call"], *, seed: int) -> Interval:
    """95 % bootstrap interval of the median over all calls, drawing whole rounds.

    Args:
        calls: times of single calls; every round holds as many.
        seed: of the draws.

    Source:
        Efron 1979, the percentile method. https://doi.org/10.1214/aos/1176344552
    """
    kept = thin(calls)
    rounds = len(kept)
    order = np.argsort(kept, axis=None)
    # How often each draw took each round is all a median needs: no draw is ever sorted.
    taken = np.random.default_rng(seed).multinomial(rounds, np.full(rounds, 1 / rounds), DRAWS)
    below = taken[:, order // kept.shape[1]].cumsum(axis=1)
    middle = (2 * below >= kept.size).argmax(axis=1)
    return interval_of(kept.ravel()[order][middle])


def paired_ratio(
    slower: Float[np.ndarray, " round"], faster: Float[np.ndarray, " round"], *, seed: int
) -> Ratio:
    """How many times ``faster`` is as fast: the median of the ratios of each round.

    Both sides of a round ran within the same second, so what slows the machine down for
    a while slows both and cancels.

    Args:
        slower: median time of each round, > 0; the side that counts as 1.
        faster: the same rounds of the other side, > 0.
        seed: of the bootstrap that draws rounds.
    """
    ratios = slower / faster
    medians = np.median(ratios[draws(len(ratios), seed)], axis=1)
    return Ratio(float(np.median(ratios)), interval_of(medians))


def thin(calls: Float[np.ndarray, "round call"]) -> Float[np.ndarray, "round kept"]:
    """Each round's evenly spaced order statistics, few enough to draw thousands of times."""
    if calls.shape[1] <= KEPT_OF_A_ROUND:
        return calls
    middles = (np.arange(KEPT_OF_A_ROUND) + 0.5) / KEPT_OF_A_ROUND
    return np.quantile(calls, middles, axis=1).T


def draws(rounds: int, seed: int) -> Int[np.ndarray, "draw round"]:
    """Which rounds each draw takes: as many as there are, with replacement."""
    return np.random.default_rng(seed).integers(0, rounds, size=(DRAWS, rounds))


def interval_of(statistics: Float[np.ndarray, " draw"]) -> Interval:
    low, high = np.percentile(statistics, (2.5, 97.5))
    return Interval(float(low), float(high))
