"""What a model may look at: features of bars that know nothing of later bars.

Every feature at row t is computed from rows 0..t alone. Its first ``warmup`` rows are NaN:
either there was not enough history, or a recursive indicator (RSI, MACD) still remembered where
the file happened to start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import Bars
from aitrade_cli.market.rolling import rolling_mean, rolling_std
from aitrade_cli.model.card import Preprocessing
from aitrade_cli.model.series import Series

NS_PER_HOUR = 3_600 * 10**9
NS_PER_DAY = 24 * NS_PER_HOUR
MONDAY_OFFSET = 3  # 1970-01-01 was a Thursday
# After 200 rows the start weighs (13/14)^200 = 4e-7 in RSI and (25/27)^200 = 2e-7 in MACD.
SETTLED_AFTER = 200
CONSTANT_BELOW = 1e-12  # a standard deviation this small is rounding, not movement


class FeatureUnknown(BadInput):
    """No feature has that name."""

    def __init__(self, names: Sequence[str]) -> None:
        listed = ", ".join(f"`{name}`" for name in names)
        super().__init__(f"unknown feature {listed}", hint=f"there are: {', '.join(FEATURES)}")


class TooFewBars(BadInput):
    """There is less history than the features and one window need."""

    def __init__(self, rows: int, needed: int, what: str) -> None:
        super().__init__(f"{rows:,} bars are too few: {what} needs {needed:,}")


@dataclass(frozen=True, slots=True)
class Feature:
    """One causal column: its formula and how many of its first rows cannot be trusted."""

    formula: Callable[[Bars], np.ndarray]
    warmup: int

    def __call__(self, bars: Bars) -> Float64[np.ndarray, " rows"]:
        values = np.array(self.formula(bars), dtype=np.float64)
        values[: self.warmup] = np.nan
        return values


def padded(values: Float64[np.ndarray, " n"], rows: int) -> Float64[np.ndarray, " rows"]:
    """Put NaN before ``values`` until there are ``rows``."""
    return np.concatenate([np.full(rows - len(values), np.nan), values])


def log_return(bars: Bars, horizon: int) -> Float64[np.ndarray, " rows"]:
    r"""$\ln(C_t / C_{t-h})$ of closes."""
    return padded(np.log(bars.close[horizon:] / bars.close[:-horizon]), len(bars))


def high_low_range(bars: Bars) -> Float64[np.ndarray, " rows"]:
    r"""$\ln(H_t / L_t)$, >= 0."""
    return np.log(bars.high / bars.low)


def close_location(bars: Bars) -> Float64[np.ndarray, " rows"]:
    """Where the close lies between low (0) and high (1); 0.5 where they are equal."""
    span = bars.high - bars.low
    location = (bars.close - bars.low) / np.where(span > 0, span, 1.0)
    return np.where(span > 0, np.clip(location, 0.0, 1.0), 0.5)


def realized_volatility(bars: Bars, length: int) -> Float64[np.ndarray, " rows"]:
    """Root mean square of the last ``length`` one-bar log returns, per bar, not annualized."""
    squares = log_return(bars, 1)[1:] ** 2
    return padded(np.sqrt(rolling_mean(squares, length)), len(bars))


def parkinson_volatility(bars: Bars, length: int) -> Float64[np.ndarray, " rows"]:
    r"""Volatility from ranges, per bar: $\sqrt{\overline{\ln(H/L)^2} / (4 \ln 2)}$.

    Source:
        Parkinson 1980, The Extreme Value Method for Estimating the Variance of the Rate of Return.
    """
    squares = high_low_range(bars) ** 2
    return padded(np.sqrt(rolling_mean(squares, length) / (4 * np.log(2))), len(bars))


def relative_strength(bars: Bars, length: int) -> Float64[np.ndarray, " rows"]:
    """Wilder's RSI in 0..100. 0 where the price has not moved since the first row."""
    import talib  # brings pandas in, a third of a second that few commands need

    return talib.RSI(bars.close, timeperiod=length)


def macd(bars: Bars, part: int) -> Float64[np.ndarray, " rows"]:
    """Line (0), signal (1) or histogram (2) of MACD 12/26/9, as a share of the close."""
    import talib  # as above

    return talib.MACD(bars.close, fastperiod=12, slowperiod=26, signalperiod=9)[part] / bars.close


def distance_to_mean(bars: Bars, length: int) -> Float64[np.ndarray, " rows"]:
    r"""$\ln(C_t / \bar C)$ against the mean of the last ``length`` closes, this one included."""
    mean = padded(rolling_mean(bars.close, length), len(bars))
    return np.log(bars.close / mean)


def volume_zscore(bars: Bars, length: int) -> Float64[np.ndarray, " rows"]:
    """Volume against the last ``length`` bars, in their standard deviations; 0 where all equal."""
    mean, std = rolling_mean(bars.volume, length), rolling_std(bars.volume, length)
    last = bars.volume[length - 1 :]
    # A constant volume leaves a rounding error, not zero, as its deviation.
    moves = std > 1e-12 * np.maximum(mean, 1.0)
    score = np.where(moves, (last - mean) / np.where(moves, std, 1.0), 0.0)
    return padded(score, len(bars))


def hour_angle(timestamp_ns: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Time of day in UTC as an angle: midnight 0, noon pi."""
    return 2 * np.pi * (timestamp_ns % NS_PER_DAY) / NS_PER_DAY


def weekday_angle(timestamp_ns: Int64[np.ndarray, " rows"]) -> Float64[np.ndarray, " rows"]:
    """Day of the week in UTC as an angle: Monday 0, in steps of a seventh."""
    return 2 * np.pi * ((timestamp_ns // NS_PER_DAY + MONDAY_OFFSET) % 7) / 7


FEATURES: Mapping[str, Feature] = {
    "log_return_1": Feature(lambda bars: log_return(bars, 1), 1),
    "log_return_4": Feature(lambda bars: log_return(bars, 4), 4),
    "log_return_12": Feature(lambda bars: log_return(bars, 12), 12),
    "log_return_24": Feature(lambda bars: log_return(bars, 24), 24),
    "high_low_range": Feature(high_low_range, 0),
    "close_location": Feature(close_location, 0),
    "realized_volatility_12": Feature(lambda bars: realized_volatility(bars, 12), 12),
    "realized_volatility_48": Feature(lambda bars: realized_volatility(bars, 48), 48),
    "parkinson_volatility_24": Feature(lambda bars: parkinson_volatility(bars, 24), 23),
    "rsi_14": Feature(lambda bars: relative_strength(bars, 14), SETTLED_AFTER),
    "macd_line": Feature(lambda bars: macd(bars, 0), SETTLED_AFTER),
    "macd_signal": Feature(lambda bars: macd(bars, 1), SETTLED_AFTER),
    "macd_histogram": Feature(lambda bars: macd(bars, 2), SETTLED_AFTER),
    "distance_to_mean_12": Feature(lambda bars: distance_to_mean(bars, 12), 11),
    "distance_to_mean_48": Feature(lambda bars: distance_to_mean(bars, 48), 47),
    "volume_zscore_48": Feature(lambda bars: volume_zscore(bars, 48), 47),
    "hour_sin": Feature(lambda bars: np.sin(hour_angle(bars.timestamp_ns)), 0),
    "hour_cos": Feature(lambda bars: np.cos(hour_angle(bars.timestamp_ns)), 0),
    "weekday_sin": Feature(lambda bars: np.sin(weekday_angle(bars.timestamp_ns)), 0),
    "weekday_cos": Feature(lambda bars: np.cos(weekday_angle(bars.timestamp_ns)), 0),
}
DEFAULT_FEATURES: tuple[str, ...] = tuple(FEATURES)


def feature_matrix(bars: Bars, names: Sequence[str]) -> Float64[np.ndarray, "rows feature"]:
    """One column a feature, not normalized. NaN in the first ``warmup`` rows of each, only there.

    Raises:
        FeatureUnknown: a name is not in ``FEATURES``.
    """
    check_names(names)
    return np.stack([FEATURES[name](bars) for name in names], axis=1)


def warmup_rows(names: Sequence[str]) -> int:
    """How many rows at the start have no value in one feature or another.

    Raises:
        FeatureUnknown: a name is not in ``FEATURES``.
    """
    check_names(names)
    return max(FEATURES[name].warmup for name in names)


def check_names(names: Sequence[str]) -> None:
    unknown = [name for name in names if name not in FEATURES]
    if unknown or not names:
        raise FeatureUnknown(unknown or [""])


def fit_preprocessing(
    bars_train: Bars, names: Sequence[str], window: int, clip: float = 5.0
) -> Preprocessing:
    """Learn mean and standard deviation of each feature from training bars alone.

    A feature that never moves (the hour, on daily bars) gets a deviation of 1 and so becomes 0.

    Args:
        bars_train: nothing of what the model is judged on may be in here.
        names: features, in the order in which the model takes them.
        window: rows the model looks back on, its own bar included, >= 1.
        clip: where normalized features are cut off, in standard deviations, > 0.

    Raises:
        TooFewBars: nothing is left after the warm-up.
        FeatureUnknown: a name is not in ``FEATURES``.
    """
    warmup = warmup_rows(names)
    if len(bars_train) < warmup + 2:
        raise TooFewBars(len(bars_train), warmup + 2, "a mean after the warm-up")
    values = feature_matrix(bars_train, names)[warmup:]
    mean, std = values.mean(axis=0), values.std(axis=0)
    std = np.where(std > CONSTANT_BELOW, std, 1.0)
    return Preprocessing(tuple(names), window, tuple(mean.tolist()), tuple(std.tolist()), clip)


def prepare(bars: Bars, preprocessing: Preprocessing) -> Series:
    """Normalize features and drop the warm-up: ``clip((raw - mean) / std, -clip, clip)``.

    RSI and MACD remember their first row for some 200 rows; those are dropped, and what is left
    of that memory is below 1e-4 of a standard deviation. So two files that start on different
    days agree from there on.

    Returns:
        ``len(bars) - warmup_rows(preprocessing.features)`` rows, float32 and finite.

    Raises:
        TooFewBars: not one window is left after the warm-up.
        FeatureUnknown: the preprocessing names a feature that is not in ``FEATURES``.
    """
    check_rows(bars, preprocessing)
    return normalize(bars, feature_matrix(bars, preprocessing.features), preprocessing)


def check_rows(bars: Bars, preprocessing: Preprocessing) -> None:
    warmup = warmup_rows(preprocessing.features)
    if len(bars) < warmup + preprocessing.window:
        raise TooFewBars(
            len(bars),
            warmup + preprocessing.window,
            f"a warm-up of {warmup} and one window of {preprocessing.window}",
        )


def normalize(
    bars: Bars, raw: Float64[np.ndarray, "rows feature"], preprocessing: Preprocessing
) -> Series:
    """The second half of `prepare`, where the features are known already."""
    warmup = warmup_rows(preprocessing.features)
    scaled = (raw[warmup:] - np.array(preprocessing.mean)) / np.array(preprocessing.std)
    clipped = np.clip(scaled, -preprocessing.clip, preprocessing.clip)
    features = clipped.astype(np.float32, order="C")
    return Series(bars.timestamp_ns[warmup:], bars.open[warmup:], bars.close[warmup:], features)
