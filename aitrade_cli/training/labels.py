"""What a model learns to tell: whether prices turn up, turn down or go nowhere next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from numpy.lib.stride_tricks import sliding_window_view

from aitrade_cli.errors import BadInput

SHORT, FLAT, LONG = 0, 1, 2
UNKNOWN = -1  # too close to either end of the bars to say
STILL_BELOW = 1e-12  # equal closes leave a rounding error, not zero, as their deviation


@dataclass(frozen=True, slots=True)
class Labelling:
    """How far a label looks, in bars.

    Attributes:
        horizon: bars ahead that are averaged; the label of a bar is known only that much later,
            so training and test must be that far apart.
        lookback: bars back, the bar's own included, that are averaged. With 1 a label is about the
            future alone. With more it is smoother, and partly known already: an accuracy above
            that of chance is then no edge by itself.
        volatility_bars: bars of past returns that set the scale.
    """

    horizon: int = 12
    lookback: int = 24
    volatility_bars: int = 120

    def __post_init__(self) -> None:
        if min(self.horizon, self.lookback) < 1 or self.volatility_bars < 2:
            raise BadInput(f"`{self}` looks at fewer bars than a label needs")


@dataclass(frozen=True, slots=True)
class Band:
    """Trend at or below ``low`` is short, at or above ``high`` long, between them flat."""

    low: float
    high: float


def forward_trend(
    close_price: Float64[np.ndarray, " rows"], labelling: Labelling
) -> Float64[np.ndarray, " rows"]:
    r"""How far prices rise from the last bars to the next, in standard deviations.

    $\log(m^+_t / m^-_t) / (\sigma_t \sqrt h)$ with $m^+_t$ the mean close of the next $h$ bars,
    $m^-_t$ that of the last ``lookback`` bars and $\sigma_t$ the standard deviation of the last
    ``volatility_bars`` log returns. Scaling by what is known at $t$ keeps a calm month from being
    all flat.

    Args:
        close_price: closes in time order, > 0.
        labelling: horizon, lookback and volatility span.

    Returns:
        One number a bar; NaN where a span reaches past either end, or where prices stood still.

    Source:
        Zhang, Zohren and Roberts 2019, section III.C. https://arxiv.org/abs/1808.03668
    """
    ahead = np.full(len(close_price), np.nan)
    if len(close_price) > labelling.horizon:
        ahead[: -labelling.horizon] = _means(close_price, labelling.horizon)[1:]
    return _rise(ahead, close_price, labelling)


def known_trend(
    close_price: Float64[np.ndarray, " rows"], labelling: Labelling
) -> Float64[np.ndarray, " rows"]:
    """The part of `forward_trend` that is known at each bar: prices stay where they are.

    The yardstick of a model's accuracy. With a lookback of 1 it is zero everywhere.
    """
    return _rise(close_price, close_price, labelling)


def _rise(
    ahead: Float64[np.ndarray, " rows"],
    close_price: Float64[np.ndarray, " rows"],
    labelling: Labelling,
) -> Float64[np.ndarray, " rows"]:
    trend = np.full(len(close_price), np.nan)
    lookback, spread = labelling.lookback, labelling.volatility_bars
    first = max(lookback - 1, spread)
    if first >= len(close_price):
        return trend
    returns = np.diff(np.log(close_price))  # [t] is the return of bar t+1
    volatility = sliding_window_view(returns, spread).std(axis=1)[first - spread :]
    behind = _means(close_price, lookback)[first - lookback + 1 :]
    scale = volatility * np.sqrt(labelling.horizon)
    moving = volatility > STILL_BELOW
    trend[first:][moving] = np.log(ahead[first:][moving] / behind[moving]) / scale[moving]
    return trend


def _means(values: Float64[np.ndarray, " rows"], length: int) -> Float64[np.ndarray, " n"]:
    """Mean of every run of ``length`` values; [t] starts at t."""
    return sliding_window_view(values, length).mean(axis=1)


def fit_band(trend: Float64[np.ndarray, " rows"], *, flat_share: float = 1 / 3) -> Band:
    """Set the band so that short and long are equally frequent in ``trend``.

    Pass training rows only: where the band lies is something that is learned.

    Args:
        trend: from `forward_trend`; NaN is left out.
        flat_share: share of rows to call flat, in [0, 1).

    Raises:
        BadInput: ``flat_share`` is out of its range, or no row has a trend.
    """
    known = trend[np.isfinite(trend)]
    if not 0.0 <= flat_share < 1.0:
        raise BadInput(f"flat_share must be in [0, 1), got `{flat_share}`")
    if not len(known):
        raise BadInput("no bar has a label: there are fewer bars than one label looks at")
    side = (1.0 - flat_share) / 2
    return Band(float(np.quantile(known, side)), float(np.quantile(known, 1.0 - side)))


def classes_of(trend: Float64[np.ndarray, " rows"], band: Band) -> Int64[np.ndarray, " rows"]:
    """Short 0, flat 1, long 2; `UNKNOWN` where the trend is NaN."""
    classes = np.full(len(trend), FLAT, dtype=np.int64)
    classes[trend <= band.low] = SHORT
    classes[trend >= band.high] = LONG
    classes[np.isnan(trend)] = UNKNOWN
    return classes
