"""How much of a Sharpe ratio is left once the luck of the best of many is taken off.

Sharpe ratios here are per bar, not annualized: mean over standard deviation of the returns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, variance
from typing import Final

import numpy as np
from jaxtyping import Float64

from aitrade_cli.errors import Usage

EULER: Final = 0.5772156649015329  # Euler-Mascheroni
NORMAL: Final = NormalDist()
CONSTANT_BELOW: Final = 1e-14


@dataclass(frozen=True, slots=True)
class Moments:
    """Of a run of returns: what the uncertainty of its Sharpe ratio depends on.

    Attributes:
        sharpe: per bar; ``skewness`` and ``kurtosis`` of the returns, 3 for a normal one.
        bars: how many returns.
    """

    sharpe: float
    skewness: float
    kurtosis: float
    bars: int


def moments_of(returns: Float64[np.ndarray, " n"]) -> Moments | None:
    """None below three returns, and where they do not vary."""
    if len(returns) < 3 or float(returns.std()) <= CONSTANT_BELOW:
        return None
    scaled = (returns - returns.mean()) / returns.std()
    return Moments(
        sharpe=float(returns.mean() / returns.std(ddof=1)),
        skewness=float((scaled**3).mean()),
        kurtosis=float((scaled**4).mean()),
        bars=len(returns),
    )


def expected_best(looks: int, spread: float) -> float:
    r"""Sharpe ratio to expect of the best of ``looks`` ones whose true value is zero.

    $\sqrt{V}\,\big((1-\gamma)\,Z^{-1}[1-\tfrac1N] + \gamma\,Z^{-1}[1-\tfrac1{Ne}]\big)$ with
    $\gamma$ Euler's constant; 0 for a single look.

    Args:
        looks: $N$, how often somebody looked, >= 1.
        spread: $V$, variance of the Sharpe ratios over the looks, >= 0.

    Source:
        Bailey and López de Prado 2014, equation 1. https://doi.org/10.3905/jpm.2014.40.5.094
    """
    if looks < 1 or spread < 0:
        raise Usage(f"`{looks}` looks with a variance of `{spread}` cannot be")
    if looks == 1:
        return 0.0
    high = NORMAL.inv_cdf(1.0 - 1.0 / looks)
    higher = NORMAL.inv_cdf(1.0 - 1.0 / (looks * math.e))
    return math.sqrt(spread) * ((1.0 - EULER) * high + EULER * higher)


def probabilistic(told: Moments, above: float) -> float:
    r"""Probability that the true Sharpe ratio is above a number, 0 to 1.

    $Z\big[(\hat{SR} - SR^*)\sqrt{T-1} / \sqrt{1 - g_3 \hat{SR} + (g_4 - 1)/4\,\hat{SR}^2}\big]$

    Source:
        Bailey and López de Prado 2012. https://doi.org/10.21314/JOR.2012.255
    """
    spread = 1.0 - told.skewness * told.sharpe + (told.kurtosis - 1.0) / 4.0 * told.sharpe**2
    distance = (told.sharpe - above) * math.sqrt(max(1, told.bars - 1))
    return NORMAL.cdf(distance / math.sqrt(max(spread, 1e-12)))


@dataclass(frozen=True, slots=True)
class Deflated:
    """A Sharpe ratio against what luck alone makes of the best of so many looks.

    Attributes:
        sharpe: the one that was chosen, per bar.
        looks: how many it was chosen from.
        luck: the best to expect of them without any edge, per bar.
        probability: that the true one is above that luck, 0 to 1.
    """

    sharpe: float
    looks: int
    luck: float
    probability: float

    JSON_PROPERTIES = ("accepted",)

    @property
    def accepted(self) -> bool:
        """Whether luck is ruled out at 95 %."""
        return self.probability >= 0.95


def deflate(told: Moments, looks: Sequence[float]) -> Deflated:
    """Judge the best of several Sharpe ratios.

    Args:
        told: of the returns of the one that was chosen.
        looks: Sharpe ratio per bar of every one that was looked at, the chosen one included.
    """
    spread = variance(looks) if len(looks) > 1 else 0.0
    luck = expected_best(max(1, len(looks)), spread)
    return Deflated(told.sharpe, max(1, len(looks)), luck, probabilistic(told, luck))
