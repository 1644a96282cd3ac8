"""Percentiles, intervals and ratios against numpy, closed forms and simulated truth."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.inference.resampling import (
    Interval,
    Ratio,
    median_interval,
    paired_ratio,
    percentile,
    thin,
)

times = st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=60)


@given(times)
def test_the_median_is_the_one_of_the_standard_library(calls: list[float]) -> None:
    found = percentile(np.array([calls]), 50.0)
    assert found == pytest.approx(statistics.median(calls))


@pytest.mark.parametrize(("percent", "calls"), [(99.0, 1_000), (99.9, 10_000)])
def test_a_percentile_needs_ten_calls_beyond_it(percent: float, calls: int) -> None:
    rising = np.arange(calls, dtype=np.float64)
    assert percentile(rising[1:].reshape(1, -1), percent) is None
    # Of 0..n-1 the percentile is at p (n-1) by definition.
    assert percentile(rising.reshape(1, -1), percent) == pytest.approx(percent / 100 * (calls - 1))


def test_the_median_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    trials, hits = 200, 0
    for trial in range(trials):
        drift = rng.lognormal(0.0, 0.05, size=(20, 1))  # a round's own level
        calls = 100.0 * drift * rng.lognormal(0.0, 0.1, size=(20, 30))
        interval = median_interval(calls, seed=trial)
        hits += interval.low <= 100.0 <= interval.high
    assert 0.88 <= hits / trials <= 0.99


def test_counting_rounds_gives_what_drawing_and_sorting_them_gives() -> None:
    rng = np.random.default_rng(5)
    calls = 100.0 * rng.lognormal(0.0, 0.1, size=(12, 1)) * rng.lognormal(0.0, 0.1, size=(12, 15))
    slow = [np.median(calls[rng.integers(0, 12, size=12)]) for _ in range(4_000)]
    found = median_interval(calls, seed=0)
    assert (found.low, found.high) == pytest.approx(np.percentile(slow, (2.5, 97.5)), rel=0.01)


def test_drawing_single_calls_would_cover_far_less() -> None:
    rng = np.random.default_rng(7)
    trials, hits = 40, 0
    for trial in range(trials):
        drift = rng.lognormal(0.0, 0.05, size=(20, 1))
        calls = 100.0 * drift * rng.lognormal(0.0, 0.1, size=(20, 30))
        interval = median_interval(calls.reshape(-1, 1), seed=trial)
        hits += interval.low <= 100.0 <= interval.high
    assert hits / trials < 0.8


@pytest.mark.parametrize("rounds", [12, 30])
def test_the_ratio_interval_covers_the_truth_under_shared_drift(rounds: int) -> None:
    rng = np.random.default_rng(11)
    trials, hits = 300, 0
    for trial in range(trials):
        weather = rng.lognormal(0.0, 0.5, size=rounds)  # slows both sides of a round
        slow = 200.0 * weather * rng.lognormal(0.0, 0.05, size=rounds)
        fast = 100.0 * weather * rng.lognormal(0.0, 0.05, size=rounds)
        interval = paired_ratio(slow, fast, seed=trial).interval
        hits += interval.low <= 2.0 <= interval.high
    assert 0.88 <= hits / trials <= 0.99


def test_pairing_cancels_what_slows_both_sides() -> None:
    rng = np.random.default_rng(3)
    weather = rng.lognormal(0.0, 1.0, size=20)
    ratio = paired_ratio(200.0 * weather, 100.0 * weather, seed=0)
    assert ratio.value == pytest.approx(2.0)
    assert ratio.interval.low == pytest.approx(2.0)
    assert ratio.interval.high == pytest.approx(2.0)


def test_the_other_side_of_a_ratio_is_its_reciprocal() -> None:
    ratio = Ratio(2.0, Interval(1.6, 2.5)).inverse
    assert (ratio.value, ratio.interval.low, ratio.interval.high) == (0.5, 0.4, 0.625)


def test_the_same_seed_gives_the_same_interval() -> None:
    calls = np.random.default_rng(0).lognormal(size=(10, 40))
    assert median_interval(calls, seed=5) == median_interval(calls, seed=5)
    assert median_interval(calls, seed=5) != median_interval(calls, seed=6)


def test_a_thinned_round_keeps_its_median() -> None:
    calls = np.random.default_rng(0).lognormal(size=(4, 5_001))
    kept = thin(calls)
    assert kept.shape[0] == 4
    assert kept.shape[1] < 100
    assert np.allclose(np.median(kept, axis=1), np.median(calls, axis=1), rtol=0.03)


def test_the_interval_of_equal_calls_is_a_point() -> None:
    interval = median_interval(np.full((6, 3), 42.0), seed=0)
    assert math.isclose(interval.low, 42.0)
    assert math.isclose(interval.high, 42.0)
