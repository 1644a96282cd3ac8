"""What `prune` did, drawn: both equity curves, and what each layer kept."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.passes.prune.report import LayerLine, PruneReport
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.units import share_text


def figure_of(report: PruneReport, equities: Sequence[Equity]) -> Figure:
    """Equity before and after; units that each layer kept, and how much of its importance."""
    panels = equity_panels(equities)
    if report.layers:
        panels.append(kept_panel(report.layers))
    ranked = [line for line in report.layers if line.importance is not None]
    if ranked:
        panels.append(importance_panel(ranked))
    return Figure(report.equivalence.verdict, panels, report.equivalence.notes)


def kept_panel(lines: Sequence[LayerLine]) -> Panel:
    values = [float(line.after) / line.before for line in lines]
    texts = [f"{line.after:,} of {line.before:,}" for line in lines]
    bars = Bars([line.name for line in lines], values, texts=texts)
    return Panel("What each layer kept", bars, "share of the original")


def importance_panel(lines: Sequence[LayerLine]) -> Panel:
    values = [float(line.importance or 0.0) for line in lines]
    bars = Bars([line.name for line in lines], values, texts=[share_text(v) for v in values])
    return Panel("Importance that is left", bars, "share of the dense parent's score")
