"""A profile as a picture: memory over time, and what the time went to."""

from __future__ import annotations

from aitrade_cli.report.plot import Bars, Curve, Figure, Panel
from aitrade_cli.system.profiling.report import ProfileReport


def figure_of(report: ProfileReport) -> Figure:
    """Memory over time above the phases."""
    panels = []
    if report.memory is not None and report.memory.timeline:
        at = [row[0] for row in report.memory.timeline]
        held = [row[1] / 1e6 for row in report.memory.timeline]
        panels.append(Panel("Resident memory", (Curve("resident", at, held),), "seconds", "MB"))
    names = [one.name for one in report.phases]
    seconds = [one.seconds for one in report.phases]
    texts = [f"{one.share:.0%}" for one in report.phases]
    panels.append(Panel("Where the time goes", Bars(names, seconds, texts=texts), "seconds"))
    return Figure(report.target, panels)
