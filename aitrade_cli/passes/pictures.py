"""What a change did, drawn: both equity curves, and what was tried."""

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
from aitrade_cli.passes.quantize_report import CandidateLine, QuantizeReport
from aitrade_cli.report.plot import Bars, Curve, Figure, Panel
from aitrade_cli.units import bytes_text, microseconds_text


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


def figure_of(report: QuantizeReport, equities: Sequence[Equity]) -> Figure:
    """Equity before and after, and latency and size of every candidate."""
    panels = []
    if equities:
        curves = [Curve(one.name, range(len(one.equity)), one.equity.tolist()) for one in equities]
        title = "Same bars, same costs: equity before and after"
        panels.append(Panel(title, curves, "evaluation bars", "capital, 1 at the start"))
    timed = [line for line in report.candidates if line.latency_us_p50 is not None]
    timed.sort(key=lambda line: line.latency_us_p50 or 0.0)
    if timed:
        panels.append(latency_panel(timed))
        panels.append(size_panel(report, timed))
    return Figure(report.equivalence.verdict, panels, report.equivalence.notes)


def latency_panel(lines: Sequence[CandidateLine]) -> Panel:
    values = [line.latency_us_p50 or 0.0 for line in lines]
    texts = [microseconds_text(value) for value in values]
    bars = Bars([label(line) for line in lines], values, texts=texts)
    return Panel("Latency of the candidates", bars, "median of one call, µs (quick race)")


def size_panel(report: QuantizeReport, lines: Sequence[CandidateLine]) -> Panel:
    labels = ["float32 tensors", *(label(line) for line in lines)]
    values = [report.float32_bytes, *(line.size_bytes or 0 for line in lines)]
    texts = [bytes_text(value) for value in values]
    bars = Bars(labels, [float(value) / 1000 for value in values], texts=texts)
    return Panel("Size of the candidates", bars, "kB")


def label(line: CandidateLine) -> str:
    return f"{line.name} (shipped)" if line.shipped else line.name
