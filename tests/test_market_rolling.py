"""Rolling figures against NumPy's own, and the compiled loops against both, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aitrade_cli.errors import Usage
from aitrade_cli.market import rolling
from aitrade_cli.market.rolling import compiled_mean, compiled_std, rolling_mean, rolling_std

lengths = st.integers(1, 130)
runs = arrays(np.float64, st.integers(0, 300), elements=st.floats(-1e6, 1e6))


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "done", rolling.Work())


def obvious(values: np.ndarray, length: int, figure: str) -> np.ndarray:
    """One window after another."""
    starts = range(len(values) - length + 1)
    return np.array([getattr(np, figure)(values[t : t + length].copy()) for t in starts])


@given(values=runs, length=lengths)
@settings(max_examples=60)
def test_every_window_is_what_numpy_says_of_it_alone(values: np.ndarray, length: int) -> None:
    np.testing.assert_array_equal(rolling_mean(values, length), obvious(values, length, "mean"))
    np.testing.assert_array_equal(rolling_std(values, length), obvious(values, length, "std"))


@given(values=runs, length=st.integers(1, rolling.COMPILED_UP_TO))
@settings(max_examples=60)
def test_the_compiled_loops_say_the_same_to_the_last_bit(values: np.ndarray, length: int) -> None:
    np.testing.assert_array_equal(compiled_mean(values, length), obvious(values, length, "mean"))
    np.testing.assert_array_equal(compiled_std(values, length), obvious(values, length, "std"))


@pytest.mark.parametrize("odd", [np.nan, np.inf])
def test_a_number_that_is_none_spoils_its_own_windows_only(odd: float) -> None:
    values = np.arange(30.0)
    values[10] = odd
    touched = np.arange(26) >= 10 - 4
    touched &= np.arange(26) <= 10
    for one in (rolling_mean, compiled_mean):
        np.testing.assert_array_equal(np.isfinite(one(values, 5)), ~touched)


def test_windows_that_cross_a_piece_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rolling, "ROWS_AT_ONCE", 7)
    values = np.random.default_rng(0).normal(size=100)
    np.testing.assert_array_equal(rolling_mean(values, 12), obvious(values, 12, "mean"))


@pytest.mark.usefixtures("_fresh")
def test_the_loops_take_over_once_they_pay_and_nobody_can_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rolling, "NUMBERS_BEFORE_COMPILING", 1_000)
    asked: list[int] = []
    whole = rolling.compiled_mean

    def noted(values: np.ndarray, length: int) -> np.ndarray:
        asked.append(length)
        return whole(values, length)

    monkeypatch.setattr(rolling, "compiled_mean", noted)
    values = np.random.default_rng(0).normal(size=100)
    before = rolling_mean(values, 5)
    assert asked == []
    rolling_mean(values, 12)
    np.testing.assert_array_equal(rolling_mean(values, 5), before)
    assert asked == [12, 5]


@pytest.mark.usefixtures("_fresh")
def test_runs_that_numpy_halves_are_never_left_to_the_loops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rolling, "NUMBERS_BEFORE_COMPILING", 0)
    values = np.random.default_rng(0).normal(size=500)
    np.testing.assert_array_equal(rolling_mean(values, 200), obvious(values, 200, "mean"))


def test_few_bars_have_no_window_and_a_run_of_none_is_told() -> None:
    assert len(rolling_mean(np.ones(3), 4)) == 0
    assert len(compiled_std(np.ones(3), 4)) == 0
    with pytest.raises(Usage, match="`0`"):
        rolling_std(np.ones(3), 0)
