"""Figures against empyrical-reloaded, against hand numbers, and where there are none."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

import empyrical
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.metrics import (
    TooFewTimes,
    annualized_return,
    annualized_volatility,
    calmar,
    hit_rate,
    max_drawdown,
    measure,
    periods_per_year,
    profit_factor,
    sharpe,
    sortino,
    total_return,
    turnover,
)

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "bars"
SP500 = read_bars(FIXTURES / "sp500_1d.parquet")
EURUSD = read_bars(FIXTURES / "eurusd_1h.parquet")
HOUR_NS = 3_600 * 10**9

anything = arrays(np.float64, st.integers(0, 30), elements=st.floats(-1.0, 3.0))


def returns_of(bars: Bars) -> np.ndarray:
    return bars.close[1:] / bars.close[:-1] - 1.0


def test_the_sp500_has_the_volatility_and_drawdown_it_is_known_for() -> None:
    # Volatility of log returns and drawdown of the closes, 1999-01-04 to 2018-12-31.
    volatility = annualized_volatility(np.log(SP500.close[1:] / SP500.close[:-1]), 252.0)
    assert volatility == pytest.approx(0.19110, abs=5e-6)
    assert max_drawdown(returns_of(SP500)) == pytest.approx(-0.56775, abs=5e-6)


RUNS = {
    "sp500": (returns_of(SP500), 252.0),
    "eurusd": (returns_of(EURUSD), 6250.0),
    "traded": (
        backtest(np.sin(np.arange(len(EURUSD)) / 9.0), EURUSD.open, Costs()).net_return,
        6250.0,
    ),
    "short": (np.array([0.01, -0.02, 0.03]), 252.0),
}


def theirs(name: str, returns: np.ndarray, **year: float) -> float:
    return float(getattr(empyrical, name)(returns, **year))


@pytest.mark.parametrize("run", RUNS)
def test_figures_agree_with_empyrical(run: str) -> None:
    returns, per_year = RUNS[run]
    annual = {
        "annual_return": annualized_return,
        "annual_volatility": annualized_volatility,
        "sharpe_ratio": sharpe,
        "sortino_ratio": sortino,
        "calmar_ratio": calmar,
    }
    for name, ours in annual.items():
        expected = theirs(name, returns, annualization=per_year)
        assert ours(returns, per_year) == pytest.approx(expected, rel=1e-8), name
    for name, ours in {"cum_returns_final": total_return, "max_drawdown": max_drawdown}.items():
        assert ours(returns) == pytest.approx(theirs(name, returns), rel=1e-8), name


@settings(max_examples=30)
@given(arrays(np.float64, st.integers(3, 40), elements=st.floats(-0.2, 0.2)))
def test_random_runs_agree_with_empyrical(returns: np.ndarray) -> None:
    # Flat or subnormal runs are ours to define; the tests below do.
    assume(returns.std() > 1e-6 and returns.min() < -1e-6)
    pairs = {
        "sharpe_ratio": sharpe(returns, 252.0),
        "sortino_ratio": sortino(returns, 252.0),
        "max_drawdown": max_drawdown(returns),
    }
    for name, ours in pairs.items():
        assert ours == pytest.approx(theirs(name, returns), rel=1e-6, abs=1e-12), name


def test_figures_by_hand() -> None:
    returns = np.array([0.10, -0.05, 0.0, 0.02, -0.01])
    assert profit_factor(returns) == pytest.approx(0.12 / 0.06)
    assert hit_rate(returns) == pytest.approx(2 / 4)
    assert max_drawdown(returns) == pytest.approx(-0.05)
    assert turnover(np.array([1.0, 0.0, 2.0, 0.0]), 252.0) == pytest.approx(0.75 * 252.0)
    assert total_return(returns) == pytest.approx(1.1 * 0.95 * 1.02 * 0.99 - 1)
    assert annualized_return(returns, 10.0) == pytest.approx((1.1 * 0.95 * 1.02 * 0.99) ** 2 - 1)
    assert sortino(returns, 4.0) == pytest.approx(0.012 / math.sqrt(0.0026 / 5) * 2)


def test_a_first_loss_counts_as_a_drawdown() -> None:
    assert max_drawdown(np.array([-0.2, 0.1])) == pytest.approx(-0.2)


@given(anything, st.floats(0.1, 1e6))
def test_no_figure_is_ever_nan_or_infinite(returns: np.ndarray, per_year: float) -> None:
    figures = [
        total_return(returns),
        annualized_return(returns, per_year),
        annualized_volatility(returns, per_year),
        sharpe(returns, per_year),
        sortino(returns, per_year),
        max_drawdown(returns),
        calmar(returns, per_year),
        profit_factor(returns),
        hit_rate(returns),
    ]
    assert all(figure is None or math.isfinite(figure) for figure in figures)


def test_an_empty_backtest_has_no_figures() -> None:
    metrics = measure(backtest(np.ones(2), np.ones(2), Costs()), 252.0)
    assert (metrics.bars, metrics.trades) == (0, 0)
    rest = [getattr(metrics, field.name) for field in fields(metrics)][2:]
    assert rest == [None] * len(rest)


def test_returns_that_do_not_vary_have_no_ratios() -> None:
    same = np.full(100, 0.001)
    assert annualized_volatility(same, 252.0) == pytest.approx(0.0, abs=1e-12)
    assert (sharpe(same, 252.0), sortino(same, 252.0), calmar(same, 252.0)) == (None, None, None)
    assert profit_factor(same) is None
    assert hit_rate(same) == 1.0
    assert hit_rate(np.zeros(9)) is None
    assert max_drawdown(same) == 0.0


def test_all_lost_is_minus_one() -> None:
    ruined = np.array([0.5, -1.0, 0.2])
    assert annualized_return(ruined, 252.0) == -1.0
    assert max_drawdown(ruined) == -1.0


def test_luck_too_large_for_a_year_has_no_figure() -> None:
    assert annualized_return(np.array([3.0, 3.0]), 6250.0) is None


def test_measure_puts_every_figure_in_its_field() -> None:
    run = backtest(np.sign(np.sin(np.arange(len(EURUSD)) / 9.0)), EURUSD.open, Costs())
    metrics = measure(run, 6250.0)
    assert metrics.bars == len(EURUSD) - 2
    assert metrics.trades == run.trades
    assert metrics.sharpe == sharpe(run.net_return, 6250.0)
    assert metrics.total_return == pytest.approx(run.equity[-1] - 1)
    assert metrics.turnover == pytest.approx(run.turnover.sum() * 6250 / len(run))


def every(hours: float, rows: int) -> np.ndarray:
    return (np.arange(rows) * hours * HOUR_NS).astype(np.int64)


@pytest.mark.parametrize(
    ("timestamp_ns", "per_year"),
    [
        (SP500.timestamp_ns, 252.0),
        (SP500.timestamp_ns[-800:], 252.0),
        (every(24, 1000), 365.0),
        (every(24 * 7, 200), 52.0),
        (every(1, 5000), 8766.0),
    ],
)
def test_bars_a_year_are_counted(timestamp_ns: np.ndarray, per_year: float) -> None:
    assert periods_per_year(timestamp_ns) == pytest.approx(per_year, rel=1e-9)


def test_hours_of_a_market_that_sleeps_at_weekends_are_fewer() -> None:
    assert 6_200 < periods_per_year(EURUSD.timestamp_ns) < 6_300


def test_one_bar_has_no_year() -> None:
    with pytest.raises(TooFewTimes):
        periods_per_year(np.array([1]))
