"""Pictures show the numbers of the report, and no picture needs what was not measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.passes.equity import Equity, equity_of
from aitrade_cli.passes.quantize.pictures import figure_of
from aitrade_cli.passes.quantize.report import CandidateLine, QuantizeReport
from aitrade_cli.report.plot import Bars, Curve
from tests.fidelity_cases import SAMPLE, judged
from tests.fidelity_market import WINDOW, Model, card, momentum, nan_now_and_then


def line(name: str, p50: float | None, *, shipped: bool = False) -> CandidateLine:
    size = None if p50 is None else 3_000
    return CandidateLine(name, size, p50, 1.0, 1.0, 0.0, (), shipped, "a reason")


def report(*lines: CandidateLine) -> QuantizeReport:
    equivalence = judged(Model(momentum(gain=1.01)))
    return QuantizeReport(
        "a.pt", "a.onnx", "int8", 8_000, 3_000, 9_000, lines, 0.01, 48, equivalence, ()
    )


def bars_of(content: Bars | Sequence[Curve]) -> Bars:
    assert isinstance(content, Bars)
    return content


def test_an_always_long_model_earns_what_the_bars_earn() -> None:
    long = Model(lambda window: np.tile(np.array([0, 0, 1], np.float32), (len(window), 1)))
    equity = equity_of("long", long, card(), SAMPLE, Costs(0.0, 0.0))
    assert equity is not None
    opens = SAMPLE.evaluation.after_window(WINDOW).open_price
    # Decided at the first bar's close, held from the second open to the last one.
    assert equity.equity[-1] == pytest.approx(opens[-1] / opens[1])


def test_costs_cost() -> None:
    free = equity_of("a", Model(momentum()), card(), SAMPLE, Costs(0.0, 0.0))
    dear = equity_of("a", Model(momentum()), card(), SAMPLE, Costs(5.0, 5.0))
    assert free is not None
    assert dear is not None
    assert dear.equity[-1] < free.equity[-1]


def test_an_answer_that_is_no_number_is_no_position() -> None:
    equity = equity_of("nan", Model(nan_now_and_then), card(), SAMPLE, Costs())
    assert equity is not None
    assert np.isfinite(equity.equity).all()


def test_without_bars_or_rule_there_is_no_curve() -> None:
    assert equity_of("a", Model(momentum()), card(), None, Costs()) is None
    ruleless = replace(card(), decision=None)
    assert equity_of("a", Model(momentum()), ruleless, SAMPLE, Costs()) is None


def test_the_figure_holds_both_curves_and_every_timed_candidate() -> None:
    curve = backtest(np.ones(5), np.arange(1.0, 6.0), Costs()).equity
    lines = (line("slow", 300.0), line("fast", 100.0, shipped=True), line("lost", None))
    figure = figure_of(report(*lines), [Equity("a.pt", curve), Equity("a.onnx", curve)])
    equity, latency, size = figure.panels
    assert isinstance(equity.content, list)
    assert [one.name for one in equity.content] == ["a.pt", "a.onnx"]
    shown = bars_of(latency.content)
    assert shown.labels == ["fast (shipped)", "slow"]
    assert shown.values == [100.0, 300.0]
    sizes = bars_of(size.content)
    assert sizes.labels[0] == "float32 tensors"
    assert sizes.values == [8.0, 3.0, 3.0]
    assert figure.title == report(*lines).equivalence.verdict


def test_a_figure_of_nothing_has_no_panels() -> None:
    assert list(figure_of(report(line("lost", None)), []).panels) == []
