"""A search as a picture: how the goals came down, and what each setting did to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from types import MappingProxyType
from typing import Final

from aitrade_cli.report.plot import Curve, Figure, Panel
from aitrade_cli.search.objectives import Goal, front_of
from aitrade_cli.search.report import SearchReport, TrialLine, setting_text, verdict_of
from aitrade_cli.search.space import Choice, Range, Space

SETTINGS_SHOWN: Final = 6
UNITS: Final = MappingProxyType({"latency": "µs", "size": "bytes", "seconds": "s"})


def figure_of(
    report: SearchReport, goals: Sequence[Goal], space: Space, lines: Sequence[TrialLine]
) -> Figure:
    """The history of each goal, the front of two, and a panel a setting.

    Args:
        report: the verdict stands above the picture.
        goals: of the search.
        space: what varied.
        lines: all trials with an answer, in the order of their numbers.
    """
    panels = [history_panel(goal, place, lines) for place, goal in enumerate(goals)]
    if len(goals) > 1:
        panels.append(front_panel(goals, lines))
    panels += [setting_panel(goals[0], part, lines) for part in space.parts[:SETTINGS_SHOWN]]
    return Figure(verdict_of(report), panels, report.notes)


def history_panel(goal: Goal, place: int, lines: Sequence[TrialLine]) -> Panel:
    numbers = [line.number for line in lines]
    values = [line.values[place] for line in lines]
    best = list(accumulate(values, min if goal.sense == "minimize" else max))
    return Panel(
        str(goal).capitalize(),
        [Curve("trials", numbers, values, style="points"), Curve("best so far", numbers, best)],
        "trial",
        axis_of(goal),
    )


def front_panel(goals: Sequence[Goal], lines: Sequence[TrialLine]) -> Panel:
    one, other = goals[:2]
    kept = [lines[place] for place in front_of(goals, [line.values for line in lines])]
    kept = sorted(kept, key=lambda line: line.values[0])
    return Panel(
        f"{one} and {other}".capitalize(),
        [
            Curve("trials", *columns(lines), style="points"),
            Curve("none beats these", *columns(kept)),
        ],
        axis_of(one),
        axis_of(other),
    )


def columns(lines: Sequence[TrialLine]) -> tuple[list[float], list[float]]:
    return [line.values[0] for line in lines], [line.values[1] for line in lines]


def axis_of(goal: Goal) -> str:
    """The figure with its unit, where it has one."""
    unit = UNITS.get(goal.figure)
    return goal.figure if unit is None else f"{goal.figure}, {unit}"


def setting_panel(goal: Goal, part: Range | Choice, lines: Sequence[TrialLine]) -> Panel:
    if isinstance(part, Range):
        return range_panel(goal, part, lines)
    return choice_panel(goal, part, lines)


def choice_panel(goal: Goal, part: Choice, lines: Sequence[TrialLine]) -> Panel:
    """Every trial in the color of the value that it had."""
    curves = []
    for value in part.values:
        having = [line for line in lines if line.settings.get(part.name) == value]
        numbers, values = [line.number for line in having], [line.values[0] for line in having]
        if having:
            curves.append(Curve(setting_text(value), numbers, values, style="points"))
    return Panel(part.name, curves, "trial", axis_of(goal))


def range_panel(goal: Goal, part: Range, lines: Sequence[TrialLine]) -> Panel:
    known = [line for line in lines if part.name in line.settings]
    return Panel(
        part.name,
        [
            Curve(
                "trials",
                [line.settings[part.name] for line in known],
                [line.values[0] for line in known],
                style="points",
            )
        ],
        part.name.rpartition(".")[2],
        axis_of(goal),
        log="x" if part.log else "none",
    )
