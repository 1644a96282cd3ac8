"""Batches that follow the noise: known noise, closed forms, limits, and the planted problem."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.learning.batch_size import (
    BatchSizer,
    Bounds,
    gradient_sample,
    rows_for_dispersion,
)
from aitrade_cli.replay.learning.batch_trial import planted_trial
from aitrade_cli.report.blocks import view

MEAN = np.array([3.0, 4.0])  # |G|^2 = 25


def shards(rng: np.random.Generator, count: int, rows: int, spread: float) -> np.ndarray:
    """Mean gradients of equal shards; a row's gradient has variance spread^2 per component."""
    return MEAN + rng.standard_normal((count, 2)) * spread / np.sqrt(rows)


def test_noise_and_length_are_estimated_without_bias() -> None:
    rng = np.random.default_rng(0)
    samples = [gradient_sample(shards(rng, 4, 16, 8.0), 16) for _ in range(20_000)]
    variance = np.mean([sample.variance for sample in samples])
    square = np.mean([sample.square for sample in samples])
    assert variance == pytest.approx(2 * 8.0**2, rel=0.01)
    assert square == pytest.approx(25.0, rel=0.01)


def test_two_shards_by_hand() -> None:
    # means 1 and 3 of 4 rows each: |G_b|^2 = 5, |G_B|^2 = 4
    sample = gradient_sample(np.array([[1.0], [3.0]]), 4)
    assert sample.variance == pytest.approx((5 - 4) / (1 / 4 - 1 / 8))
    assert sample.square == pytest.approx((8 * 4 - 4 * 5) / 4)


@given(st.integers(0, 1000), st.integers(2, 6), st.integers(1, 9))
def test_the_sample_variance_is_the_textbook_one(seed: int, count: int, rows: int) -> None:
    made = np.random.default_rng(seed).normal(size=(count, 3))
    expected = rows * made.var(axis=0, ddof=1).sum()
    assert gradient_sample(made, rows).variance == pytest.approx(expected)


def test_the_sizer_finds_the_noise_scale() -> None:
    rng = np.random.default_rng(1)
    sizer = BatchSizer(Bounds(least=8, most=100_000), smoothing=0.999)
    for _ in range(5000):
        sizer.saw_gradients(shards(rng, 8, 32, 40.0), 32)
    assert sizer.noise_scale == pytest.approx(2 * 40.0**2 / 25, rel=0.05)
    choice = [sizer.choose() for _ in range(10)][-1]
    assert choice.rows == int(sizer.noise_scale or 0) // 8 * 8
    assert choice.limit is None


def test_dispersion_by_hand() -> None:
    errors = np.array([1.0, 3.0])  # squares 1 and 9: mean 5, variance 32
    assert rows_for_dispersion(errors, 0.1) == pytest.approx(32 / 0.5**2)
    assert rows_for_dispersion(np.full(5, -2.0), 0.1) == 0.0
    assert rows_for_dispersion(np.zeros(5), 0.1) == 1.0


def test_so_many_rows_do_know_the_mean_that_well() -> None:
    rng = np.random.default_rng(2)
    rows = round(rows_for_dispersion(rng.standard_normal(200_000), 0.05))
    means = np.square(rng.standard_normal((4000, rows))).mean(axis=1)
    assert means.std() / means.mean() == pytest.approx(0.05, rel=0.1)


def test_td_errors_choose_where_no_gradients_are() -> None:
    sizer = BatchSizer(Bounds(least=8, most=4096), smoothing=0.0, tolerance=0.1)
    sizer.saw_td_errors(np.array([1.0, 3.0]))
    rows = [sizer.choose().rows for _ in range(6)]
    assert rows == [16, 32, 64, 128, 128, 128]


@pytest.mark.parametrize(
    ("bounds", "rows", "limit"),
    [
        (Bounds(least=8, most=64), 64, "most"),
        (Bounds(8, 640, memory_bytes=5000, row_bytes=100, fixed_bytes=200), 48, "memory"),
        (Bounds(least=32, most=10_000, multiple=32), 10_000 // 32 * 32, "most"),
    ],
)  # fmt: skip
def test_noise_alone_takes_the_most_there_may_be(bounds: Bounds, rows: int, limit: str) -> None:
    sizer = BatchSizer(bounds)
    sizer.saw_gradients(np.array([[1.0], [-1.0]]), 4)
    assert sizer.noise_scale == math.inf
    choice = [sizer.choose() for _ in range(12)][-1]
    assert (choice.rows, choice.limit) == (rows, limit)
    assert sizer.rows == rows


def test_no_noise_takes_the_least_and_nothing_measured_changes_nothing() -> None:
    sizer = BatchSizer(Bounds(least=40, most=64))
    assert sizer.choose().rows == 40
    assert sizer.choose().wanted is None
    sizer.saw_gradients(np.ones((3, 2)), 5)
    choice = sizer.choose()
    assert (choice.rows, choice.limit, choice.wanted) == (40, "least", 0.0)


@given(st.integers(0, 10_000))
def test_a_batch_stays_within_bounds_and_pace(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bounds = Bounds(least=16, most=2048, memory_bytes=1_000_000, row_bytes=900)
    sizer, before = BatchSizer(bounds, smoothing=0.5), 16
    for _ in range(30):
        sizer.saw_gradients(rng.normal(size=(4, 3)) * 10.0 ** rng.integers(-3, 3), 4)
        rows = sizer.choose().rows
        assert 16 <= rows <= bounds.in_memory
        assert rows % 8 == 0
        assert before / 2 - 8 <= rows <= 2 * before
        before = rows


def test_the_same_measurements_give_the_same_batches_also_after_a_restart() -> None:
    one, other = BatchSizer(), BatchSizer()
    rng = np.random.default_rng(3)
    for step in range(40):
        made = shards(rng, 4, 8, 30.0)
        one.saw_gradients(made, 8)
        other.saw_gradients(made, 8)
        assert one.choose() == other.choose()
        if step == 20:
            kept = json.loads(json.dumps(dict(other.state())))
            other = BatchSizer()
            other.restore(kept)


def test_the_planted_problem_is_solved_with_fewer_rows() -> None:
    report = planted_trial(seeds=5)
    assert report.gained
    assert report.gain is not None
    assert report.gain > 1.5
    assert {run.batch for run in report.runs if run.rows is None} == {"16", "32", "64", "128"}
    assert view(report)


def test_without_noise_there_is_nothing_to_gain_and_the_report_says_so() -> None:
    report = planted_trial(seeds=1, noise=0.0)
    assert report.gain == 1.0
    assert not report.gained
    assert "no gain" in str(view(report)[0])


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(BadInput, match="between two shards"):
        gradient_sample(np.ones((1, 3)), 4)
    with pytest.raises(BadInput, match="not finite"):
        gradient_sample(np.array([[1.0], [np.nan]]), 4)
    with pytest.raises(BadInput, match="two errors"):
        rows_for_dispersion(np.ones(1), 0.1)
    with pytest.raises(BadInput, match="not finite"):
        rows_for_dispersion(np.array([1.0, np.inf]), 0.1)
    with pytest.raises(BadInput, match="smoothing lies"):
        BatchSizer(smoothing=1.0)
    with pytest.raises(BadInput, match="leaves none"):
        Bounds(least=64, most=32)
    with pytest.raises(BadInput, match="hold 10 rows"):
        Bounds(memory_bytes=1000, row_bytes=100)
