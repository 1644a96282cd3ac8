from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aitrade_cli.errors import BadInput
from aitrade_cli.training.labels import (
    FLAT,
    LONG,
    SHORT,
    UNKNOWN,
    Band,
    Labelling,
    classes_of,
    fit_band,
    forward_trend,
    known_trend,
)

closes = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(0.5, 2.0))
labellings = st.builds(Labelling, st.integers(1, 9), st.integers(1, 9), st.integers(2, 12))


def random_walk(rows: int, seed: int = 1) -> np.ndarray:
    return np.exp(np.random.default_rng(seed).normal(0, 0.01, rows).cumsum())


def slow_trend(close: list[float], labelling: Labelling) -> list[float]:
    """The definition, bar by bar, in plain Python."""
    found = []
    for t in range(len(close)):
        after = close[t + 1 : t + 1 + labelling.horizon]
        before = close[max(0, t - labelling.lookback + 1) : t + 1]
        span = close[max(0, t - labelling.volatility_bars) : t + 1]
        enough = (
            len(after) == labelling.horizon
            and len(before) == labelling.lookback
            and len(span) == labelling.volatility_bars + 1
        )
        if not enough:
            found.append(math.nan)
            continue
        returns = [math.log(b) - math.log(a) for a, b in pairwise(span)]
        mean = sum(returns) / len(returns)
        deviation = math.sqrt(sum((r - mean) ** 2 for r in returns) / len(returns))
        rise = math.log(sum(after) / len(after)) - math.log(sum(before) / len(before))
        scale = deviation * math.sqrt(labelling.horizon)
        found.append(rise / scale if deviation > 1e-12 else math.nan)
    return found


@given(closes, labellings)
@settings(deadline=None)
def test_trend_equals_its_definition_bar_by_bar(close: np.ndarray, labelling: Labelling) -> None:
    expected = np.array(slow_trend(close.tolist(), labelling))
    found = forward_trend(close, labelling)
    still = np.isnan(expected)
    np.testing.assert_allclose(found[~still], expected[~still], rtol=1e-6, atol=1e-9)
    reach = max(labelling.lookback - 1, labelling.volatility_bars)
    assert np.isnan(found[:reach]).all()
    assert np.isnan(found[max(0, len(close) - labelling.horizon) :]).all()


def test_prices_that_stand_still_have_no_label() -> None:
    trend = forward_trend(np.full(50, 1.25), Labelling(3, 3, 10))
    assert np.isnan(trend).all()
    assert (classes_of(trend, Band(-1.0, 1.0)) == UNKNOWN).all()


@given(closes, labellings)
@settings(deadline=None)
def test_what_is_known_is_the_trend_of_prices_that_stay(
    close: np.ndarray, labelling: Labelling
) -> None:
    known = known_trend(close, labelling)
    for t in range(len(close)):
        stayed = np.r_[close[: t + 1], np.full(labelling.horizon, close[t])]
        np.testing.assert_allclose(known[t], forward_trend(stayed, labelling)[t], atol=1e-9)


def test_with_a_lookback_of_one_nothing_is_known() -> None:
    known = known_trend(random_walk(100), Labelling(5, 1, 20))
    assert (known[20:] == 0).all()


def test_with_a_lookback_of_one_the_past_of_the_price_says_nothing() -> None:
    close = random_walk(400)
    other = close.copy()
    other[:200] = random_walk(200, seed=2) * close[200] / 3
    labelling = Labelling(horizon=5, lookback=1, volatility_bars=20)
    assert np.array_equal(
        forward_trend(close, labelling)[221:], forward_trend(other, labelling)[221:], equal_nan=True
    )


@given(cut=st.integers(40, 150), horizon=st.integers(1, 12))
def test_a_label_reaches_its_horizon_and_no_further(cut: int, horizon: int) -> None:
    close = random_walk(200)
    changed = close.copy()
    changed[cut:] *= 1.5
    labelling = Labelling(horizon=horizon, lookback=4, volatility_bars=20)
    before, after = forward_trend(close, labelling), forward_trend(changed, labelling)
    assert np.array_equal(before[: cut - horizon], after[: cut - horizon], equal_nan=True)
    if cut + horizon <= 200:
        assert before[cut - horizon] != after[cut - horizon]


@given(st.floats(0.0, 0.9), st.integers(0, 5))
def test_the_band_splits_training_rows_into_the_shares_asked_for(share: float, seed: int) -> None:
    trend = np.random.default_rng(seed).normal(0.3, 2.0, 2001)
    classes = classes_of(trend, fit_band(trend, flat_share=share))
    sides = [(classes == side).mean() for side in (SHORT, FLAT, LONG)]
    assert sides[0] == pytest.approx((1 - share) / 2, abs=2e-3)
    assert sides[2] == pytest.approx((1 - share) / 2, abs=2e-3)


def test_classes_by_hand() -> None:
    trend = np.array([-2.0, -1.0, -0.5, 0.0, 0.9, 1.0, np.nan])
    found = classes_of(trend, Band(-1.0, 1.0)).tolist()
    assert found == [SHORT, SHORT, FLAT, FLAT, FLAT, LONG, UNKNOWN]


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(BadInput, match="flat_share"):
        fit_band(np.arange(5.0), flat_share=share)


def test_a_band_needs_a_label() -> None:
    with pytest.raises(BadInput, match="no bar has a label"):
        fit_band(np.array([np.nan, np.nan]))


@pytest.mark.parametrize("sizes", [(0, 1, 2), (1, 0, 2), (1, 1, 1)])
def test_spans_of_nothing_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(BadInput):
        Labelling(*sizes)
