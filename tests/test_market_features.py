"""Features know nothing of later bars, and the test would notice if they did."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.market import features as subject
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.features import (
    DEFAULT_FEATURES,
    FEATURES,
    FeatureUnknown,
    TooFewBars,
    feature_matrix,
    fit_preprocessing,
    prepare,
    warmup_rows,
)
from aitrade_cli.model.card import Preprocessing

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "bars"
EURUSD = read_bars(FIXTURES / "eurusd_1h.parquet")
SP500 = read_bars(FIXTURES / "sp500_1d.parquet")
NASDAQ = read_bars(FIXTURES / "nasdaq_1d.parquet")  # has bars without volume


def knows_the_future(formula: Callable[[Bars], np.ndarray], bars: Bars, keep: int) -> bool:
    whole, cut = formula(bars)[:keep], formula(bars.rows(0, keep))
    return not np.array_equal(whole, cut, equal_nan=True)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("bars", [EURUSD, SP500, NASDAQ], ids=lambda bars: bars.symbol)
def test_cutting_the_future_off_changes_nothing_before_it(name: str, bars: Bars) -> None:
    for keep in (1, 2, 23, 48, 201, 997, 1000, 3456):
        assert not knows_the_future(FEATURES[name], bars, keep), keep


@settings(max_examples=25)
@given(keep=st.integers(1, 6225))
def test_no_cut_changes_any_feature(keep: int) -> None:
    assert not knows_the_future(lambda bars: feature_matrix(bars, DEFAULT_FEATURES), EURUSD, keep)


@pytest.mark.parametrize(
    "planted",
    [
        lambda bars: np.append(np.diff(bars.close), 0.0),  # tomorrow's change
        lambda bars: bars.close / bars.close.max(),  # scaled by all of history
        lambda bars: (bars.close - bars.close.mean()) / bars.close.std(),
        lambda bars: np.convolve(bars.close, np.ones(5) / 5, mode="same"),  # centered mean
    ],
)
def test_a_planted_look_at_the_future_is_caught(planted: Callable[[Bars], np.ndarray]) -> None:
    assert any(knows_the_future(planted, EURUSD, keep) for keep in (23, 201, 1000))


@pytest.mark.parametrize("name", FEATURES)
def test_only_the_warmup_is_empty(name: str) -> None:
    values = FEATURES[name](NASDAQ)
    assert np.isnan(values[: FEATURES[name].warmup]).all()
    assert np.isfinite(values[FEATURES[name].warmup :]).all()


@pytest.mark.parametrize("bars", [EURUSD, SP500], ids=lambda bars: bars.symbol)
def test_after_the_warmup_the_start_of_the_file_is_forgotten(bars: Bars) -> None:
    warmup, later = warmup_rows(DEFAULT_FEATURES), 537
    whole = feature_matrix(bars, DEFAULT_FEATURES)
    fresh = feature_matrix(bars.rows(later, len(bars)), DEFAULT_FEATURES)[warmup:]
    std = np.nanstd(whole, axis=0)
    gap = np.abs(whole[later + warmup :] - fresh).max(axis=0) / np.where(std > 0, std, 1.0)
    assert gap.max() < 1e-4, dict(zip(DEFAULT_FEATURES, gap, strict=True))


def test_a_shorter_warmup_would_still_remember_it() -> None:
    whole, fresh = (subject.macd(bars, 0) for bars in (EURUSD, EURUSD.rows(537, len(EURUSD))))
    gap = np.abs(whole[537 + 40 : 537 + 60] - fresh[40:60]).max()
    assert gap / np.nanstd(whole) > 1e-3


def test_values_agree_with_a_slow_obvious_version() -> None:
    t, close = 400, SP500.close
    steps = [np.log(close[i] / close[i - 1]) for i in range(t - 47, t + 1)]
    ranges = [np.log(SP500.high[i] / SP500.low[i]) for i in range(t - 23, t + 1)]
    volumes = SP500.volume[t - 47 : t + 1].tolist()
    mean = sum(volumes) / 48
    spread = (sum((v - mean) ** 2 for v in volumes) / 48) ** 0.5
    expected = {
        "log_return_1": steps[-1],
        "log_return_4": sum(steps[-4:]),
        "log_return_12": sum(steps[-12:]),
        "log_return_24": sum(steps[-24:]),
        "high_low_range": ranges[-1],
        "close_location": (close[t] - SP500.low[t]) / (SP500.high[t] - SP500.low[t]),
        "realized_volatility_12": (sum(s * s for s in steps[-12:]) / 12) ** 0.5,
        "realized_volatility_48": (sum(s * s for s in steps) / 48) ** 0.5,
        "parkinson_volatility_24": (sum(r * r for r in ranges) / 24 / (4 * np.log(2))) ** 0.5,
        "distance_to_mean_12": np.log(close[t] / (sum(close[t - 11 : t + 1]) / 12)),
        "distance_to_mean_48": np.log(close[t] / (sum(close[t - 47 : t + 1]) / 48)),
        "volume_zscore_48": (volumes[-1] - mean) / spread,
    }
    for name, value in expected.items():
        assert FEATURES[name](SP500)[t] == pytest.approx(value, rel=1e-9), name


def test_rsi_and_macd_agree_with_their_recursions() -> None:
    close, t = EURUSD.close[:1200], 1199
    moves = np.diff(close)
    gain, loss = np.clip(moves, 0, None), np.clip(-moves, 0, None)
    up, down = gain[:14].mean(), loss[:14].mean()
    for rise, fall in zip(gain[14:], loss[14:], strict=True):
        up, down = (13 * up + rise) / 14, (13 * down + fall) / 14
    assert FEATURES["rsi_14"](EURUSD)[t] == pytest.approx(100 * up / (up + down), rel=1e-9)

    fast = slow = close[0]
    signal = 0.0
    for price in close[1:]:
        fast += (price - fast) * 2 / 13
        slow += (price - slow) * 2 / 27
        signal += (fast - slow - signal) * 2 / 10
    line = fast - slow
    expected = {"macd_line": line, "macd_signal": signal, "macd_histogram": line - signal}
    for name, value in expected.items():
        assert FEATURES[name](EURUSD)[t] == pytest.approx(value / close[t], rel=1e-6), name


def test_clock_features_know_the_calendar() -> None:
    noon_thursday = replace(EURUSD.rows(0, 1), timestamp_ns=np.array([12 * 3600 * 10**9]))
    assert FEATURES["hour_cos"](noon_thursday)[0] == pytest.approx(-1.0)
    assert FEATURES["hour_sin"](noon_thursday)[0] == pytest.approx(0.0, abs=1e-12)
    assert FEATURES["weekday_sin"](noon_thursday)[0] == pytest.approx(np.sin(2 * np.pi * 3 / 7))
    assert FEATURES["weekday_cos"](noon_thursday)[0] == pytest.approx(np.cos(2 * np.pi * 3 / 7))


def halted(rows: int) -> Bars:
    """A market that does not trade: one price, no volume."""
    price = np.full(rows, 1.1)
    times = np.arange(rows) * 3_600 * 10**9
    return Bars(times, price, price, price, price, np.zeros(rows), "HALT", "")


def test_a_halted_market_has_finite_features() -> None:
    values = feature_matrix(halted(400), DEFAULT_FEATURES)
    assert np.isfinite(values[warmup_rows(DEFAULT_FEATURES) :]).all()
    assert not np.nan_to_num(FEATURES["volume_zscore_48"](halted(400))).any()


def test_prepared_rows_are_standard_clipped_and_finite() -> None:
    half = len(EURUSD) // 2
    preprocessing = fit_preprocessing(EURUSD.rows(0, half), DEFAULT_FEATURES, window=64)
    train, everything = (
        prepare(EURUSD.rows(0, half), preprocessing),
        prepare(EURUSD, preprocessing),
    )
    assert len(everything) == len(EURUSD) - warmup_rows(DEFAULT_FEATURES)
    assert everything.features.dtype == np.float32
    assert np.abs(everything.features).max() <= 5.0
    assert np.abs(train.features.mean(axis=0)).max() < 0.05  # clipping moves it a little
    assert np.array_equal(everything.features[: len(train)], train.features)
    assert everything.timestamp_ns[0] == EURUSD.timestamp_ns[warmup_rows(DEFAULT_FEATURES)]


def test_the_fit_sees_training_rows_only() -> None:
    future = np.arange(len(EURUSD)) >= 3000
    changed = replace(
        EURUSD,
        close=np.where(future, 7.0, EURUSD.close),
        volume=np.where(future, 7.0, EURUSD.volume),
    )
    fits = [fit_preprocessing(b.rows(0, 3000), DEFAULT_FEATURES, 64) for b in (EURUSD, changed)]
    assert fits[0] == fits[1]


def test_a_feature_that_never_moves_becomes_zero() -> None:
    preprocessing = fit_preprocessing(SP500, ("hour_cos", "log_return_1"), window=8)
    assert preprocessing.std[0] == 1.0
    assert not prepare(SP500, preprocessing).features[:, 0].any()


def test_too_few_bars_are_refused_with_numbers() -> None:
    preprocessing = fit_preprocessing(EURUSD, DEFAULT_FEATURES, window=64)
    with pytest.raises(TooFewBars, match=r"263 bars are too few.* 264"):
        prepare(EURUSD.rows(0, 263), preprocessing)
    assert len(prepare(EURUSD.rows(0, 264), preprocessing)) == 64
    with pytest.raises(TooFewBars):
        fit_preprocessing(EURUSD.rows(0, 201), DEFAULT_FEATURES, window=64)


def test_an_unknown_feature_is_named() -> None:
    with pytest.raises(FeatureUnknown, match="`sentiment`"):
        prepare(EURUSD, Preprocessing(("sentiment",), 8, (0.0,), (1.0,)))
    with pytest.raises(FeatureUnknown):
        warmup_rows(())


def test_there_are_twenty_by_default() -> None:
    assert len(DEFAULT_FEATURES) == 20
