"""The paired backtest tells chance from change as often as it says, and nothing from nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64
from scipy import stats

from aitrade_cli.fidelity.bootstrap import (
    TooFewReturns,
    mean_block_length,
    politis_white,
    stationary_rows,
)
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.drift import (
    QUANTITIES,
    Drift,
    backtest_gate,
    compare_backtests,
    figures,
)
from aitrade_cli.market.backtest import Backtest, Costs, backtest
from aitrade_cli.market.metrics import measure
from tests.fidelity_market import series

YEAR = 252.0


def autoregressive(seed: int, phi: float, bars: int) -> Float64[np.ndarray, " bars"]:
    noise = np.random.default_rng(seed).standard_normal(bars)
    path = np.zeros(bars)
    for t in range(1, bars):
        path[t] = phi * path[t - 1] + noise[t]
    return path


def earned(returns: Float64[np.ndarray, " n"]) -> Backtest:
    """A backtest that earned just these returns."""
    ones = np.ones(len(returns))
    return Backtest(returns, returns, np.cumprod(1 + returns), ones, len(returns))


def traded(position: Float64[np.ndarray, " n"], seed: int = 0) -> Backtest:
    return backtest(position, series(len(position), seed=seed).open_price, Costs())


def positions(bars: int, seed: int = 0) -> Float64[np.ndarray, " n"]:
    """The positions that earn on ``series``: its own signal."""
    features = series(bars, seed=seed).features[:, 0].astype(np.float64)
    signal = np.convolve(features, np.ones(3) / 3)[:bars]
    return np.where(np.abs(signal) > 0.3, np.sign(signal), 0.0)


# Computed by arch 8.0.0, `arch.bootstrap.optimal_block_length(series)["stationary"]`.
@pytest.mark.parametrize(
    ("seed", "phi", "bars", "length"),
    [
        (1, 0.5, 500, 8.312187840),
        (2, 0.9, 1100, 24.601082618),
        (3, -0.3, 1100, 7.366531633),
        (4, 0.5, 60, 1.610958301),
        (5, 0.97, 1100, 54.867500851),
        (6, 0.2, 5000, 9.778292732),
    ],
)
def test_the_block_length_is_that_of_arch(seed: int, phi: float, bars: int, length: float) -> None:
    assert politis_white(autoregressive(seed, phi, bars)) == pytest.approx(length, rel=1e-8)


def test_a_series_that_never_moves_asks_for_no_blocks() -> None:
    assert politis_white(np.full(100, 0.3)) == 1.0
    assert mean_block_length(np.zeros(1000)) == pytest.approx(10.0)


def test_too_short_a_series_is_refused() -> None:
    with pytest.raises(TooFewReturns, match="7 bars"):
        politis_white(np.arange(7.0))
    with pytest.raises(TooFewReturns, match="29 returns"):
        compare_backtests(earned(np.ones(29)), earned(np.ones(29)), per_year=YEAR)


def test_rows_follow_each_other_in_blocks_of_the_mean_length() -> None:
    rows = np.concatenate(list(stationary_rows(500, mean_block=8.0, resamples=400, seed=1)))
    assert rows.shape == (400, 500)
    follows = (np.diff(rows, axis=1) % 500) == 1
    # A new block also follows by chance, once in 500.
    assert follows.mean() == pytest.approx(1 - 1 / 8 * (1 - 1 / 500), abs=0.003)


def test_every_row_is_drawn_equally_often() -> None:
    rows = np.concatenate(list(stationary_rows(40, mean_block=5.0, resamples=5000, seed=2)))
    counts = np.bincount(rows.ravel(), minlength=40) / rows.size
    assert counts == pytest.approx(1 / 40, rel=0.06)


def test_blocks_of_one_are_independent_draws() -> None:
    rows = np.concatenate(list(stationary_rows(300, mean_block=1.0, resamples=200, seed=3)))
    assert ((np.diff(rows, axis=1) % 300) == 1).mean() == pytest.approx(1 / 300, abs=0.002)


@given(st.integers(1, 60), st.floats(1, 30), st.integers(1, 40), st.integers(0, 99))
def test_the_same_seed_draws_the_same_rows(
    bars: int, block: float, resamples: int, seed: int
) -> None:
    def draw() -> list[list[int]]:
        parts = stationary_rows(bars, mean_block=block, resamples=resamples, seed=seed)
        return np.concatenate(list(parts)).tolist()

    rows = draw()
    assert rows == draw()
    assert len(rows) == resamples
    assert all(0 <= row < bars for row in rows[0])


@pytest.mark.parametrize("phi", [0.0, 0.4])
def test_the_interval_holds_the_true_difference_as_often_as_it_says(phi: float) -> None:
    """Nineteen times in twenty, on returns that remember; 120 worlds."""
    worlds, bars = 120, 250
    inside = 0
    for world in range(worlds):
        common = 0.01 * np.random.default_rng(world).standard_normal(bars)
        lost = 0.001 * autoregressive(10_000 + world, phi, bars) - 0.0003
        drift = compare_backtests(
            earned(common), earned(common + lost), per_year=YEAR, resamples=200, seed=world
        )
        total = drift.difference("total_return")
        # First order: the expected loss of the run is the sum of what is lost each bar.
        assert total.low is not None
        assert total.high is not None
        scale = (1 + (total.before or 0)) * bars
        inside += total.low <= -0.0003 * scale <= total.high
    assert 0.88 <= inside / worlds <= 0.99


def test_blocks_keep_the_memory_that_single_draws_lose() -> None:
    """The mean of n steps of an AR(1) scatters by sigma / (1 - phi) / sqrt(n)."""
    phi, bars = 0.5, 3000
    path = autoregressive(7, phi, bars)
    true = 1 / (1 - phi) / math.sqrt(bars)

    def scatter(block: float) -> float:
        parts = stationary_rows(bars, mean_block=block, resamples=300, seed=0)
        return float(np.concatenate([path[rows].mean(axis=1) for rows in parts]).std())

    assert scatter(mean_block_length(path)) == pytest.approx(true, rel=0.15)
    assert scatter(1.0) < 0.7 * true


def test_the_width_of_the_interval_is_the_closed_form() -> None:
    """For independent differences the scatter of the sum is sigma * sqrt(n)."""
    bars, sigma = 3000, 1e-5
    common = np.zeros(bars) + 1e-5
    lost = sigma * np.random.default_rng(0).standard_normal(bars)
    drift = compare_backtests(earned(common), earned(common + lost), per_year=YEAR)
    total = drift.difference("total_return")
    assert total.high is not None
    assert total.low is not None
    wanted = 2 * stats.norm.ppf(0.975) * sigma * math.sqrt(bars) * (1 + (total.after or 0))
    assert total.high - total.low == pytest.approx(wanted, rel=0.1)


@settings(max_examples=20)
@given(st.integers(30, 200), st.integers(0, 1000))
def test_identical_backtests_differ_by_exactly_nothing(bars: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    book = traded(generator.choice([-1.0, 0.0, 1.0], size=bars + 2))
    drift = compare_backtests(book, book, per_year=YEAR, resamples=100, seed=seed)
    for one in drift.differences:
        if one.answer != "not defined":
            assert (one.change, one.low, one.high) == (0.0, 0.0, 0.0)
    assert drift.answer == "not distinguishable"


@settings(max_examples=40)
@given(
    st.lists(st.floats(-0.3, 0.4), min_size=2, max_size=60),
    st.lists(st.floats(0, 2), min_size=60, max_size=60),
)
def test_many_at_once_are_what_one_at_a_time_gives(
    returns: list[float], turnover: list[float]
) -> None:
    """The figures of the resamples are the figures of `aitrade_cli.market.metrics`."""
    book = Backtest(
        np.array(returns),
        np.array(returns),
        np.cumprod(1 + np.array(returns)),
        np.array(turnover[: len(returns)]),
        1,
    )
    order = np.random.default_rng(0).integers(0, len(book), size=(3, len(book)))
    found = figures(book, order, YEAR)
    for draw, rows in enumerate(order):
        one = measure(
            Backtest(
                book.gross_return[rows],
                book.net_return[rows],
                book.equity[rows],
                book.turnover[rows],
                1,
            ),
            YEAR,
        )
        for line, quantity in enumerate(QUANTITIES):
            wanted = getattr(one, quantity)
            if wanted is None:
                assert math.isnan(found[line, draw])
            else:
                assert found[line, draw] == pytest.approx(wanted, rel=1e-6, abs=1e-9)


def test_ruin_is_a_number_too() -> None:
    returns = np.zeros(50)
    returns[10] = -1.0
    drift = compare_backtests(earned(np.full(50, 1e-3)), earned(returns), per_year=YEAR)
    assert drift.difference("total_return").after == pytest.approx(-1.0)
    assert drift.difference("max_drawdown").after == pytest.approx(-1.0)


def test_the_inverse_of_a_model_that_earns_is_worse() -> None:
    held = positions(800)
    drift = compare_backtests(traded(held), traded(-held), per_year=YEAR)
    assert drift.answer == "worse"
    assert drift.difference("sharpe").answer == "worse"
    assert drift.difference("max_drawdown").answer == "worse"
    assert compare_backtests(traded(-held), traded(held), per_year=YEAR).answer == "better"


def test_more_turnover_for_the_same_money_is_worse_in_turnover_alone() -> None:
    same = np.full(200, 1e-4) + 1e-5 * np.sin(np.arange(200))
    calm = Backtest(same, same, np.cumprod(1 + same), np.zeros(200), 1)
    busy = Backtest(same, same, np.cumprod(1 + same), np.ones(200), 200)
    drift = compare_backtests(calm, busy, per_year=YEAR)
    assert drift.difference("turnover").answer == "worse"
    assert drift.answer == "not distinguishable"


def test_a_few_flips_near_nothing_cannot_be_told_from_chance() -> None:
    held = positions(800)
    other = held.copy()
    other[[100, 300, 500]] = 0.0
    assert compare_backtests(traded(held), traded(other), per_year=YEAR).answer == (
        "not distinguishable"
    )


def test_a_model_that_stopped_trading_has_no_sharpe_and_misses_its_budget() -> None:
    drift = compare_backtests(traded(positions(200)), traded(np.zeros(200)), per_year=YEAR)
    assert drift.difference("sharpe").answer == "not defined"
    assert drift.sharpe_drop is None
    gate = backtest_gate(drift, Budget(max_sharpe_drop=9.0))
    assert gate.fails
    assert "not defined" in gate.reason


def test_two_models_that_never_trade_prove_nothing() -> None:
    drift = compare_backtests(traded(np.zeros(200)), traded(np.zeros(200)), per_year=YEAR)
    assert backtest_gate(drift, Budget()).status == "void"
    assert backtest_gate(drift, Budget(max_sharpe_drop=1.0)).fails


def losing() -> Drift:
    """The same losing model twice: Sharpe below zero, drawdown deep, change nothing."""
    book = traded(-positions(300))
    assert (measure(book, YEAR).sharpe or 0) < 0
    return compare_backtests(book, book, per_year=YEAR, resamples=100)


def test_an_identical_losing_model_holds_every_budget_at_zero() -> None:
    budget = Budget(max_sharpe_drop=0.0, max_drawdown_rise=0.0, max_pnl_drop=0.0)
    assert backtest_gate(losing(), budget).status == "held"


@pytest.mark.parametrize("limit", ["max_sharpe_drop", "max_drawdown_rise", "max_pnl_drop"])
def test_each_backtest_budget_can_miss(limit: str) -> None:
    held = positions(300)
    drift = compare_backtests(traded(held), traded(-held), per_year=YEAR, resamples=100)
    assert backtest_gate(drift, Budget(**{limit: 0.0})).status == "missed"
    assert backtest_gate(drift, Budget()).status == "informed"
