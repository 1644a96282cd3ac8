"""What `compile` did, drawn: speed of every candidate, and both equity curves."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.passes.compile.report import CompileReport
from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.units import ratio_text


def figure_of(report: CompileReport, equities: Sequence[Equity]) -> Figure:
    """One panel a batch size, and the equity curves where there was a backtest."""
    panels = [panel for batch in report.batches if (panel := speed_panel(report, batch))]
    return Figure(report.verdict, [*panels, *equity_panels(equities)], report.notes)


def speed_panel(report: CompileReport, batch: int) -> Panel | None:
    found = [
        (line.name, at.speed)
        for line in report.candidates
        for at in line.batches
        if at.batch == batch
    ]
    if not found:
        return None
    found.sort(key=lambda pair: -pair[1])
    values = [speed for _, speed in found]
    bars = Bars([name for name, _ in found], values, texts=[ratio_text(v) for v in values])
    return Panel(f"Speed at batch {batch}", bars, f"times the speed of {report.baseline}")
