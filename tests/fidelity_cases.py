"""One change put before the gates, with everything the tests vary. No fixtures needed."""

from __future__ import annotations

import io

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.judge import judge
from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from tests.fidelity_market import WINDOW, Model, card, momentum, sample

SAMPLE = sample(420)
BARS = 420 - 160 - WINDOW + 1
COVERAGE = Coverage(210_000, 210_000, 12_000_000, 12_000_000)
GAIN = Gain(
    size_bytes_before=843_000,
    size_bytes_after=227_000,
    latency_us_before=948.2,
    latency_us_after=205.1,
    speedup_low=4.4,
    speedup_high=4.8,
    noise_band=0.03,
    conditions="latency: batch 1, 1 thread, 2,000 calls each, interleaved, x86-64",
)
BUDGET = Budget(max_flips=0.02, max_side_flips=0.0, max_sharpe_drop=0.2)
NO_GAIN = Gain(843_000, 842_000, 948.2, 951.0)


def judged(after: Model, **how: object) -> EquivalenceReport:
    settings: dict[str, object] = {"card": card(), "sample": SAMPLE, "resamples": 100, **how}
    return judge(
        Model(momentum()),
        after,
        before_name="lstm.pt",
        after_name="lstm.int8.onnx",
        **settings,  # type: ignore[arg-type]
    )


def screen(report: EquivalenceReport) -> str:
    stream = io.StringIO()
    draw(view(report), stream)
    return stream.getvalue()


def statuses(report: EquivalenceReport) -> dict[str, str]:
    return {gate.name: gate.status for gate in report.gates}
