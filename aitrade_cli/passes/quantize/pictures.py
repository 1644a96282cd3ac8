"""What `quantize` did, drawn: both equity curves, and what was tried."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.passes.quantize.report import CandidateLine, QuantizeReport
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.units import bytes_text, microseconds_text


def figure_of(report: QuantizeReport, equities: Sequence[Equity]) -> Figure:
    """Equity before and after, and latency and size of every candidate."""
    panels = equity_panels(equities)
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
