"""Let both models trade the same held-out bars."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.bootstrap import TooFewReturns
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.decisions import Decisions, compare_decisions, decisions_gate
from aitrade_cli.fidelity.drift import Drift, backtest_gate, compare_backtests
from aitrade_cli.fidelity.gate import Gate
from aitrade_cli.fidelity.outputs import Runs, outputs_of
from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.market.metrics import periods_per_year
from aitrade_cli.model.card import Card, Decision, Sample
from aitrade_cli.model.series import Series


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The bars that were judged on, and how.

    Attributes:
        symbol: the instrument.
        bars: decisions asked for; each looks back on one window.
        first: close of the first judged bar, ISO 8601 UTC.
        last: close of the last one.
        source_sha256: of the file the bars came from.
        periods_per_year: bars in a year, from the timestamps.
        batch_size: windows asked at once.
        fee_bps: cost of trading one unit, in basis points of its value.
        slippage_bps: added to it.
        bars_seen_in_training: of ``bars``, how many closed before training ended; None
            where the artefact does not say when it ended.
    """

    symbol: str
    bars: int
    first: str
    last: str
    source_sha256: str
    periods_per_year: float
    batch_size: int
    fee_bps: float
    slippage_bps: float
    bars_seen_in_training: int | None


@dataclass(frozen=True, slots=True)
class Trading:
    """What both did on the bars. Where a part is None, its ``why`` says what was missing."""

    decisions: Decisions | None = None
    drift: Drift | None = None
    evaluated: Evaluated | None = None
    why_no_decisions: str = ""
    why_no_drift: str = ""

    @classmethod
    def without(cls, why: str) -> Trading:
        return cls(why_no_decisions=why, why_no_drift=why)


def evaluation_outputs(
    runtime: Runs, card: Card, sample: Sample, batch_size: int = 1
) -> Float32[np.ndarray, "n out"]:
    """A model's outputs on every evaluation window, in time order.

    Args:
        runtime: the model.
        card: says how long a window is, and whether the batch axis is fixed.
        sample: only its evaluation rows are used.
        batch_size: windows asked at once, >= 1; a fixed batch axis overrules it.

    Raises:
        BadInput: there are fewer evaluation rows than one window.
        WrongOutputs: the model's answer has not one row for each window.
        Exception: whatever the runtime raises when it stops.
    """
    shape = input_shape(card)
    windows = sample.evaluation.windows(shape.window)
    return outputs_of(runtime, windows, shape.batch or batch_size)


def trade(
    before: Float32[np.ndarray, "n _"],
    after: Float32[np.ndarray, "n _"],
    rules: tuple[Decision | None, Decision | None],
    bars: Series,
    costs: Costs,
    evaluated: Evaluated,
    *,
    seed: int,
    resamples: int,
) -> Trading:
    """Turn both answers into positions, compare them, and backtest them on the same bars.

    Args:
        before: the original's outputs, one row a bar.
        after: the changed model's.
        rules: how each one's outputs become positions; None where the artefact has no rule.
        bars: the bars at which the windows end.
        costs: of trading.
        evaluated: what is told about the bars.
        seed: of the bootstrap.
        resamples: series it draws.
    """
    known = Trading(evaluated=evaluated)
    if rules[0] is None or rules[1] is None:
        why = "the artefact has no decision rule"
        return replace(known, why_no_decisions=why, why_no_drift=why)
    try:
        first, second = decide(rules[0], before), decide(rules[1], after)
        margin = rules[0].margin_of(np.nan_to_num(before))
        decisions = compare_decisions(first, second, bars.open_price, margin)
    except BadInput as error:
        return replace(known, why_no_decisions=str(error), why_no_drift=str(error))
    known = replace(known, decisions=decisions)
    try:
        drift = compare_backtests(
            backtest(np.nan_to_num(first), bars.open_price, costs),
            backtest(np.nan_to_num(second), bars.open_price, costs),
            per_year=evaluated.periods_per_year,
            resamples=resamples,
            seed=seed,
        )
    except TooFewReturns as error:
        return replace(known, why_no_drift=str(error))
    return replace(known, drift=drift)


def decide(rule: Decision, outputs: Float32[np.ndarray, "n out"]) -> Float64[np.ndarray, " n"]:
    """Positions; NaN where an output is not finite: such a model has decided nothing.

    Raises:
        BadInput: the rule wants another number of outputs.
    """
    sound = np.isfinite(outputs).all(axis=1)
    return np.where(sound, rule.positions_of(np.nan_to_num(outputs)), np.nan)


def describe(
    sample: Sample, bars: Series, costs: Costs, batch_size: int, trained_until_ns: int | None
) -> Evaluated:
    """What a reader must know of the bars to weigh the figures.

    Raises:
        TooFewTimes: fewer than two bars.
    """
    seen = None
    if trained_until_ns is not None:
        seen = int((bars.timestamp_ns <= trained_until_ns).sum())
    return Evaluated(
        symbol=sample.symbol,
        bars=len(bars),
        first=_iso(bars.timestamp_ns[:1]),
        last=_iso(bars.timestamp_ns[-1:]),
        source_sha256=sample.source_sha256,
        periods_per_year=periods_per_year(bars.timestamp_ns),
        batch_size=batch_size,
        fee_bps=costs.fee_bps,
        slippage_bps=costs.slippage_bps,
        bars_seen_in_training=seen,
    )


def trading_gates(trading: Trading, budget: Budget) -> tuple[Gate, Gate]:
    """The decisions gate and the backtest gate; a budget makes either owe an answer."""
    if trading.decisions is None:
        asked = budget.max_flips is not None or budget.max_side_flips is not None
        decisions = Gate("decisions", "not_run", trading.why_no_decisions, asked)
    else:
        decisions = decisions_gate(trading.decisions, budget)
    if trading.drift is None:
        limits = (budget.max_sharpe_drop, budget.max_drawdown_rise, budget.max_pnl_drop)
        asked = any(limit is not None for limit in limits)
        return decisions, Gate("backtest", "not_run", trading.why_no_drift, asked)
    return decisions, backtest_gate(trading.drift, budget)


def _iso(timestamp_ns: Int64[np.ndarray, " 1"]) -> str:
    return f"{np.datetime_as_string(timestamp_ns.astype('datetime64[ns]'), unit='s')[0]}Z"
