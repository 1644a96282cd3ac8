"""Gate 4: does the same backtest still earn the same, and could chance explain the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.fidelity.bootstrap import TooFewReturns, mean_block_length, stationary_rows
from aitrade_cli.fidelity.budget import Budget, Limit
from aitrade_cli.fidelity.gate import Gate, gate_with_limits
from aitrade_cli.market.backtest import Backtest
from aitrade_cli.market.metrics import CONSTANT_BELOW, Metrics, measure
from aitrade_cli.units import change_text

Quantity: TypeAlias = Literal["total_return", "sharpe", "max_drawdown", "turnover"]
Answer: TypeAlias = Literal["not distinguishable", "worse", "better"]

QUANTITIES: Final[tuple[Quantity, ...]] = ("total_return", "sharpe", "max_drawdown", "turnover")
RESAMPLES: Final = 2_000
BARS_AT_LEAST: Final = 30
RUIN: Final = -1 + 1e-12  # a loss of everything, kept just above where logarithms end


@dataclass(frozen=True, slots=True)
class Difference:
    """One quantity of both backtests. Defined in docs/reference/equivalence-report.md.

    Attributes:
        quantity: which.
        before: the original's; None where it is not defined.
        after: the changed model's.
        change: after - before; None where either is not defined.
        low: lower end of the 95 % bootstrap interval of the change.
        high: its upper end.
        answer: ``worse`` or ``better`` where the interval leaves 0 out.
    """

    quantity: Quantity
    before: float | None
    after: float | None
    change: float | None
    low: float | None
    high: float | None
    answer: Answer | Literal["not defined"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The paired backtest.

    Attributes:
        differences: total net return, Sharpe, max drawdown and turnover a year, in this order.
        before: all figures of the original's backtest.
        after: all figures of the changed model's.
        bars: returns in each of them.
        resamples: bootstrap series drawn.
        mean_block: mean bars that stay together in them.
        seed: of the draws.
        answer: ``worse`` where total return or Sharpe is; ``better`` where one of them is and
            neither is worse.
    """

    differences: tuple[Difference, ...]
    before: Metrics
    after: Metrics
    bars: int
    resamples: int
    mean_block: float
    seed: int
    answer: Answer

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = (
        "sharpe_drop",
        "drawdown_rise",
        "total_return_drop",
    )

    def difference(self, quantity: Quantity) -> Difference:
        return self.differences[QUANTITIES.index(quantity)]

    @property
    def sharpe_drop(self) -> float | None:
        """Sharpe before - after: what `--max-sharpe-drop` bounds. Negative is a rise."""
        return _negative(self.difference("sharpe").change)

    @property
    def drawdown_rise(self) -> float | None:
        """How much deeper the deepest drawdown is: what `--max-drawdown-rise` bounds."""
        return _negative(self.difference("max_drawdown").change)

    @property
    def total_return_drop(self) -> float | None:
        """Total net return before - after: what `--max-pnl-drop` bounds."""
        return _negative(self.difference("total_return").change)


def compare_backtests(
    before: Backtest,
    after: Backtest,
    *,
    per_year: float,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Drift:
    """Set two backtests of the same bars side by side, with an interval for each difference.

    Both are resampled by the same rows, so what the market did cancels out and only what
    the models did differently scatters. Identical backtests give exactly [0, 0].

    Args:
        before: the original's.
        after: the changed model's, on the same bars.
        per_year: bars in a year, > 0; scales Sharpe and turnover.
        resamples: bootstrap series, >= 100.
        seed: of the draws.

    Raises:
        TooFewReturns: fewer than 30 returns.

    Source:
        Politis & Romano 1994 (stationary bootstrap), percentile interval.
    """
    bars = len(before)
    if bars < BARS_AT_LEAST:
        raise TooFewReturns(f"{bars} returns are fewer than the {BARS_AT_LEAST} an interval needs")
    block = mean_block_length(
        after.net_return - before.net_return, before.net_return, after.net_return
    )
    drawn = [
        figures(after, rows, per_year) - figures(before, rows, per_year)
        for rows in stationary_rows(bars, mean_block=block, resamples=resamples, seed=seed)
    ]
    changes = np.concatenate(drawn, axis=1)
    first, second = measure(before, per_year), measure(after, per_year)
    differences = tuple(
        _difference(quantity, getattr(first, quantity), getattr(second, quantity), changes[i])
        for i, quantity in enumerate(QUANTITIES)
    )
    answer = _overall(differences)
    return Drift(differences, first, second, bars, resamples, float(block), seed, answer)


def backtest_gate(drift: Drift, budget: Budget) -> Gate:
    """Held or missed by the budgets on points, told with the answer of the interval."""
    asked = (
        ("--max-sharpe-drop", "Sharpe drop", budget.max_sharpe_drop, drift.sharpe_drop),
        ("--max-drawdown-rise", "drawdown rise", budget.max_drawdown_rise, drift.drawdown_rise),
        ("--max-pnl-drop", "net return drop", budget.max_pnl_drop, drift.total_return_drop),
    )
    limits = [
        Limit(option, what, allowed, found, "number" if what == "Sharpe drop" else "share")
        for option, what, allowed, found in asked
        if allowed is not None
    ]
    sharpe = drift.difference("sharpe")
    interval = ""
    if sharpe.low is not None and sharpe.high is not None:
        interval = f" [{change_text(sharpe.low)}, {change_text(sharpe.high)}]"
    if not (drift.before.trades or drift.after.trades):
        return Gate("backtest", "void", "neither model ever trades", required=bool(limits))
    if all(one.change == one.low == one.high == 0 for one in drift.differences):
        return gate_with_limits("backtest", "identical, bar by bar", limits)
    told = f"{drift.answer}: Sharpe {change_text(sharpe.change)}{interval}"
    return gate_with_limits("backtest", told, limits)


def figures(
    backtest: Backtest, rows: Int64[np.ndarray, "resample bars"], per_year: float
) -> Float64[np.ndarray, "4 resample"]:
    """``QUANTITIES`` of many resamples at once; NaN is a Sharpe of returns that do not vary.

    The same formulas as `aitrade_cli.market.metrics`, which does one series at a time.
    """
    kept = np.maximum(backtest.net_return, RUIN)
    returns = kept[rows]
    growth = np.cumsum(np.log1p(kept)[rows], axis=1)
    peak = np.maximum.accumulate(np.maximum(growth, 0.0), axis=1)
    deviation = returns.std(axis=1, ddof=1)
    still = deviation <= CONSTANT_BELOW
    sharpe = returns.mean(axis=1) / np.where(still, 1.0, deviation) * np.sqrt(per_year)
    return np.stack(
        [
            np.expm1(growth[:, -1]),
            np.where(still, np.nan, sharpe),
            np.expm1((growth - peak).min(axis=1)),
            backtest.turnover[rows].mean(axis=1) * per_year,
        ]
    )


def _difference(
    quantity: Quantity,
    before: float | None,
    after: float | None,
    changes: Float64[np.ndarray, " resample"],
) -> Difference:
    known = changes[~np.isnan(changes)]
    # Where most resamples have no such figure, those that have it are not a fair draw.
    if before is None or after is None or len(known) < len(changes) / 2:
        return Difference(quantity, before, after, None, None, None, "not defined")
    low, high = (float(end) for end in np.percentile(known, [2.5, 97.5]))
    if low <= 0 <= high:
        answer: Answer = "not distinguishable"
    else:  # a drawdown is negative, so more is better there too; turnover costs
        answer = "better" if (low > 0) == (quantity != "turnover") else "worse"
    return Difference(quantity, before, after, after - before, low, high, answer)


def _overall(differences: Sequence[Difference]) -> Answer:
    answers = [one.answer for one in differences if one.quantity in ("total_return", "sharpe")]
    for answer in ("worse", "better"):
        if answer in answers:
            return answer
    return "not distinguishable"


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
