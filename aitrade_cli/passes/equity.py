"""Equity curves of a model before and after a change, on the same bars and costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.outputs import Runs
from aitrade_cli.fidelity.trading import decide, evaluation_outputs
from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.model.card import Card, Sample
from aitrade_cli.report.plot import Curve, Panel


@dataclass(frozen=True, slots=True)
class Equity:
    """What one model's decisions would have made of 1 on the evaluation bars."""

    name: str
    equity: Float64[np.ndarray, " bars"]


def equity_of(
    name: str, runtime: Runs, card: Card, sample: Sample | None, costs: Costs
) -> Equity | None:
    """Backtest one model; None where it has no rule or no bars, or stops on them.

    Args:
        name: in the legend.
        runtime: the model; wrapped in ``Remembered`` it is not asked twice.
        card: its decision rule.
        sample: only the evaluation rows are used.
        costs: of trading.
    """
    if sample is None or card.decision is None:
        return None
    outputs = evaluation_outputs(runtime, card, sample)
    positions = np.nan_to_num(decide(card.decision, outputs))
    bars = sample.evaluation.after_window(input_shape(card).window)
    return Equity(name, backtest(positions, bars.open_price, costs).equity)


def equity_panels(equities: Sequence[Equity]) -> list[Panel]:
    """One panel with every curve; none where there are no curves."""
    if not equities:
        return []
    curves = [Curve(one.name, range(len(one.equity)), one.equity.tolist()) for one in equities]
    title = "Same bars, same costs: equity before and after"
    return [Panel(title, curves, "evaluation bars", "capital, 1 at the start")]
