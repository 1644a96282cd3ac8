"""What a trader reads off a run of returns.

Returns are simple returns per bar, as shares of the capital. ``per_year`` is how many bars a year
has. A figure that is not defined is None: never NaN, never infinite.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.market.backtest import Backtest

YEAR_NS = 365.25 * 24 * 3_600 * 1e9
CALENDARS = (252.0, 365.0, 52.0, 12.0)  # trading days, all days, weeks, months
CALENDAR_TOLERANCE = 0.02
# Equal returns leave a rounding error, not zero, as their deviation.
CONSTANT_BELOW = 1e-14

Returns = Float64[np.ndarray, " n"]


class TooFewTimes(BadInput):
    """Fewer than two bars have no distance between them."""

    def __init__(self, rows: int) -> None:
        super().__init__(f"{rows} bars are too few to tell how many a year has")


@dataclass(frozen=True, slots=True)
class Metrics:
    """One backtest in figures. Shares are 0.01 for 1 %; None where a figure is not defined."""

    bars: int
    trades: int
    total_return: float | None  # whole run
    annualized_return: float | None
    annualized_volatility: float | None
    sharpe: float | None
    sortino: float | None
    max_drawdown: float | None  # <= 0
    calmar: float | None
    profit_factor: float | None
    turnover: float | None  # times the capital, a year
    hit_rate: float | None


def measure(backtest: Backtest, per_year: float) -> Metrics:
    """All figures of one backtest, after costs.

    Args:
        backtest: of any length; an empty one has no figures.
        per_year: bars a year, > 0, from ``periods_per_year``.
    """
    returns = backtest.net_return
    return Metrics(
        bars=len(backtest),
        trades=backtest.trades,
        total_return=total_return(returns),
        annualized_return=annualized_return(returns, per_year),
        annualized_volatility=annualized_volatility(returns, per_year),
        sharpe=sharpe(returns, per_year),
        sortino=sortino(returns, per_year),
        max_drawdown=max_drawdown(returns),
        calmar=calmar(returns, per_year),
        profit_factor=profit_factor(returns),
        turnover=turnover(backtest.turnover, per_year),
        hit_rate=hit_rate(returns),
    )


def periods_per_year(timestamp_ns: Int64[np.ndarray, " rows"]) -> float:
    """Bars a year, counted: gaps of nights, weekends and holidays are in the count.

    A count within 2 % of 252, 365, 52 or 12 becomes that number, so that daily bars are
    annualized as everyone does it. Anything else (hourly bars, say) stays as counted, with a
    year of 365.25 days. A stretch of a few days knows no weekend and counts too many.

    Raises:
        TooFewTimes: fewer than two bars.
    """
    if len(timestamp_ns) < 2:
        raise TooFewTimes(len(timestamp_ns))
    years = float(timestamp_ns[-1] - timestamp_ns[0]) / YEAR_NS
    counted = (len(timestamp_ns) - 1) / years
    for usual in CALENDARS:
        if abs(counted / usual - 1.0) <= CALENDAR_TOLERANCE:
            return usual
    return counted


def total_return(returns: Returns) -> float | None:
    r"""$\prod (1 + r_t) - 1$; -1 where all was lost. None without returns."""
    if not len(returns):
        return None
    return defined(float(np.prod(1.0 + np.maximum(returns, -1.0))) - 1.0)


def annualized_return(returns: Returns, per_year: float) -> float | None:
    """Compound growth a year; -1 where all was lost. None without returns."""
    growth = total_return(returns)
    if growth is None:
        return None
    if growth <= -1.0:
        return -1.0
    try:
        return defined(math.expm1(math.log1p(growth) * per_year / len(returns)))
    except OverflowError:  # a few lucky bars, raised to a whole year
        return None


def annualized_volatility(returns: Returns, per_year: float) -> float | None:
    r"""Standard deviation, $n - 1$ in its denominator, times $\sqrt{\text{per\_year}}$, >= 0.

    None below two returns.
    """
    if len(returns) < 2:
        return None
    return defined(float(returns.std(ddof=1)) * math.sqrt(per_year))


def sharpe(returns: Returns, per_year: float) -> float | None:
    """Mean over standard deviation, annualized, against a risk-free rate of 0.

    None below two returns, and where they do not vary.
    """
    if len(returns) < 2:
        return None
    deviation = float(returns.std(ddof=1))
    if deviation <= CONSTANT_BELOW:
        return None
    return defined(float(returns.mean()) / deviation * math.sqrt(per_year))


def sortino(returns: Returns, per_year: float) -> float | None:
    r"""Mean over downside deviation $\sqrt{\overline{\min(r_t, 0)^2}}$, annualized.

    The mean under the root is over all returns, not over the losses alone. None without a loss.
    """
    if not len(returns):
        return None
    downside = math.sqrt(float((np.minimum(returns, 0.0) ** 2).mean()))
    if downside <= CONSTANT_BELOW:
        return None
    return defined(float(returns.mean()) / downside * math.sqrt(per_year))


def max_drawdown(returns: Returns) -> float | None:
    """Deepest fall of the capital below an earlier height, the start included: in [-1, 0].

    0 where it never fell. None without returns.
    """
    if not len(returns):
        return None
    equity = np.concatenate([[1.0], np.cumprod(1.0 + np.maximum(returns, -1.0))])
    return defined(float((equity / np.maximum.accumulate(equity)).min()) - 1.0)


def calmar(returns: Returns, per_year: float) -> float | None:
    """Annualized return over the size of the deepest drawdown. None where there was none."""
    growth, fall = annualized_return(returns, per_year), max_drawdown(returns)
    if growth is None or fall is None or fall == 0.0:
        return None
    return defined(growth / -fall)


def profit_factor(returns: Returns) -> float | None:
    """Sum of gains over sum of losses, >= 0; above 1 earns. None without a loss."""
    losses = float(-returns[returns < 0].sum())
    return defined(float(returns[returns > 0].sum()) / losses) if losses > 0 else None


def turnover(change: Returns, per_year: float) -> float | None:
    """Changes of position a year, in times the capital: long to short counts 2. None if empty."""
    return defined(float(change.mean()) * per_year) if len(change) else None


def hit_rate(returns: Returns) -> float | None:
    """Share of bars that gained, among those that gained or lost. None if there is neither."""
    moved = int(np.count_nonzero(returns))
    return float(np.count_nonzero(returns > 0)) / moved if moved else None


def defined(value: float) -> float | None:
    return value if math.isfinite(value) else None
