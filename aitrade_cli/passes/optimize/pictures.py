"""The Pareto front as a picture: latency against flips, and the equity before and after."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.passes.optimize.points import Point
from aitrade_cli.passes.optimize.report import FrontLine, OptimizeReport
from aitrade_cli.report.plot import Curve, Figure, Panel


def figure_of(
    report: OptimizeReport, points: Sequence[Point], equities: Sequence[Equity]
) -> Figure:
    """Every point that was measured, the front through them, and what ships.

    Args:
        report: the front.
        points: all points of the study, those that are beaten included.
        equities: of the source and of what ships.
    """
    panels = [
        front_panel("Latency and flips", report, points, by_flips=True),
        front_panel("Latency and size", report, points, by_flips=False),
        *equity_panels(equities),
    ]
    return Figure(report.equivalence.verdict, panels, report.equivalence.notes)


def front_panel(
    title: str, report: OptimizeReport, points: Sequence[Point], *, by_flips: bool
) -> Panel:
    """Points left and low are better."""

    def height(point: Point | FrontLine) -> float:
        if not by_flips:
            return point.size_bytes / 1000
        return 100.0 * (point.flips or 0.0)

    def latency(point: Point | FrontLine) -> float:
        return point.latency_us if isinstance(point, Point) else point.latency_us_p50

    front = sorted(report.front, key=latency)
    shipped = [report.shipped]
    curves = [
        Curve("measured", [latency(p) for p in points], [height(p) for p in points], style="points")
        if points
        else None,
        Curve("nothing beats these", [latency(p) for p in front], [height(p) for p in front]),
        Curve("ships", [latency(p) for p in shipped], [height(p) for p in shipped], style="points"),
    ]
    unit = "expected flips, %" if by_flips else "kB"
    return Panel(
        title,
        [curve for curve in curves if curve is not None],
        "median of one call at batch 1, µs",
        unit,
        log="x" if by_flips else "both",
    )
