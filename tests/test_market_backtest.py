"""The vectorized backtest against an account kept by hand, bar by bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aitrade_cli.errors import Usage
from aitrade_cli.market.backtest import Backtest, Costs, PositionsUnusable, backtest
from aitrade_cli.market.bars import read_bars

EURUSD = read_bars(Path(__file__).resolve().parents[1] / "fixtures" / "bars" / "eurusd_1h.parquet")
FREE = Costs(0.0, 0.0)

lengths = st.shared(st.integers(0, 40), key="rows")
positions = lengths.flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-1.0, 1.0)))
steps = lengths.flatmap(lambda n: arrays(np.float64, n, elements=st.floats(-0.2, 0.2)))
costs = st.builds(Costs, st.floats(0.0, 20.0), st.floats(0.0, 20.0))


def opens_after(steps: np.ndarray) -> np.ndarray:
    return 100.0 * np.exp(np.cumsum(steps))


def kept_by_hand(position: list[float], opens: list[float], costs: Costs) -> list[float]:
    """Cash and units, one open at a time; nothing here knows about returns."""
    cash, units, before, capital = 1.0, 0.0, 0.0, []
    for bar in range(len(opens) - 2):
        fill, leave = opens[bar + 1], opens[bar + 2]
        worth = cash + units * fill
        fee = worth * abs(position[bar] - before) * (costs.fee_bps + costs.slippage_bps) / 10_000
        wanted = worth * position[bar] / fill
        cash = cash - (wanted - units) * fill - fee
        units, before = wanted, position[bar]
        capital.append(cash + units * leave)
    return capital


@given(positions, steps, costs)
def test_equity_is_what_cash_and_units_are_worth(
    position: np.ndarray, steps: np.ndarray, costs: Costs
) -> None:
    opens = opens_after(steps)
    expected = kept_by_hand(position.tolist(), opens.tolist(), costs)
    assert backtest(position, opens, costs).equity == pytest.approx(expected, rel=1e-9)


def test_a_year_of_real_hours_agrees_with_the_account_kept_by_hand() -> None:
    position = np.random.default_rng(0).choice([-1.0, 0.0, 0.5, 1.0], len(EURUSD))
    expected = kept_by_hand(position.tolist(), EURUSD.open.tolist(), Costs())
    assert backtest(position, EURUSD.open, Costs()).equity == pytest.approx(expected, rel=1e-9)


def test_three_decisions_by_hand() -> None:
    position = np.array([1.0, -1.0, 0.0, 1.0, 1.0])
    opens = np.array([90.0, 100.0, 110.0, 99.0, 120.0])
    result = backtest(position, opens, Costs(fee_bps=3.0, slippage_bps=7.0))
    assert result.gross_return == pytest.approx([0.10, 0.10, 0.0])
    assert result.turnover.tolist() == [1.0, 2.0, 1.0]
    assert result.net_return == pytest.approx([0.099, 0.098, -0.001])
    assert result.equity == pytest.approx([1.099, 1.099 * 1.098, 1.099 * 1.098 * 0.999])
    assert result.trades == 3


def looks_ahead(run: Backtest, changed: Backtest, bar: int) -> bool:
    """Decisions up to ``bar - 2`` were filled and left by the open of ``bar``."""
    known = max(bar - 1, 0)
    return not np.array_equal(run.net_return[:known], changed.net_return[:known])


@given(positions, steps, st.data())
def test_later_prices_and_decisions_do_not_change_what_was_earned(
    position: np.ndarray, steps: np.ndarray, data: st.DataObject
) -> None:
    bar = data.draw(st.integers(0, max(len(steps) - 1, 0)))
    opens, other, turned = opens_after(steps), opens_after(steps), position.copy()
    other[bar + 1 :] *= 1.7
    turned[bar - 1 if bar > 0 else 0 :] *= -0.5
    first = backtest(position, opens, Costs())
    assert not looks_ahead(first, backtest(position, other, Costs()), bar)
    assert not looks_ahead(first, backtest(turned, opens, Costs()), bar)


def test_a_backtest_that_looks_ahead_would_be_caught() -> None:
    opens = EURUSD.open[:50]
    other = np.append(opens[:30], opens[30:] * 1.1)
    position = np.ones(50)
    # Shifting the prices by one bar pays for an open that nobody could know.
    first, second = (backtest(position[1:], prices[1:], FREE) for prices in (opens, other))
    assert looks_ahead(first, second, 30)


def test_knowing_the_next_open_at_its_close_earns_nothing_by_itself() -> None:
    # A decision at bar t that knows open t+1 is filled there: the gap t -> t+1 is not earned.
    opens = np.array([100.0, 150.0, 150.0, 150.0])
    assert not backtest(np.ones(4), opens, FREE).gross_return.any()


@given(positions, steps)
def test_costs_only_ever_cost(position: np.ndarray, steps: np.ndarray) -> None:
    opens = opens_after(steps)
    free, paid = backtest(position, opens, FREE), backtest(position, opens, Costs(2.0, 3.0))
    assert (paid.net_return <= free.net_return).all()
    assert np.array_equal(free.net_return, free.gross_return)


@given(steps)
def test_always_long_is_buy_and_hold(steps: np.ndarray) -> None:
    opens = opens_after(steps)
    result = backtest(np.ones(len(opens)), opens, FREE)
    if len(result):
        assert result.equity[-1] == pytest.approx(opens[-1] / opens[1], rel=1e-9)


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_too_short_to_fill_and_leave_is_empty(rows: int) -> None:
    result = backtest(np.ones(rows), np.ones(rows), Costs())
    assert len(result) == 0
    assert result.trades == 0


def test_what_is_lost_stays_lost() -> None:
    opens = np.array([1.0, 1.0, 2.5, 1.0, 1.0])
    result = backtest(np.full(5, -1.0), opens, FREE)
    assert result.net_return[0] == -1.0
    assert not result.equity.any()


@pytest.mark.parametrize(
    ("position", "opens", "wanted"),
    [
        ([0.0, 1.5, 0.0], [1.0, 1.0, 1.0], "position at row 1 is `1.5`"),
        ([0.0, 0.0, np.nan], [1.0, 1.0, 1.0], "position at row 2 is `nan`"),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 1.0], "open at row 1 is `0`"),
        ([0.0, 0.0], [1.0, 1.0, 1.0], "2 positions do not fit 3 bars"),
    ],
)
def test_what_cannot_be_traded_is_named(
    position: list[float], opens: list[float], wanted: str
) -> None:
    with pytest.raises(PositionsUnusable, match=wanted):
        backtest(np.array(position), np.array(opens), Costs())


@pytest.mark.parametrize("bps", [-1.0, float("nan"), float("inf")])
def test_impossible_costs_are_refused(bps: float) -> None:
    with pytest.raises(Usage):
        Costs(fee_bps=bps)
