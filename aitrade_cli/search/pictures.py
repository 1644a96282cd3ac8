"""A search as a picture: how the goals came down, and what each setting did to them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from aitrade_cli.report.plot import Curve, Figure, Panel
from aitrade_cli.search.objectives import Goal, front_of
from aitrade_cli.search.report import SearchReport, TrialLine, verdict_of
from aitrade_cli.search.space import Range, Space

SETTINGS_SHOWN = 4


def figure_of(
    report: SearchReport, goals: Sequence[Goal], space: Space, lines: Sequence[TrialLine]
) -> Figure:
    """The history of each goal, the front of two, and a panel a setting.

    Args:
        report: the verdict stands above the picture.
        goals: of the search.
        space: what varied; numbers are drawn, choices are not.
        lines: all trials with an answer, in the order of their numbers.
    """
    panels = [history_panel(goal, place, lines) for place, goal in enumerate(goals)]
    if len(goals) > 1:
        panels.append(front_panel(goals, lines))
    ranges = [part for part in space.parts if isinstance(part, Range)]
    panels += [setting_panel(goals[0], part, lines) for part in ranges[:SETTINGS_SHOWN]]
    return Figure(verdict_of(report), panels, report.notes)


def history_panel(goal: Goal, place: int, lines: Sequence[TrialLine]) -> Panel:
    numbers = [line.number for line in lines]
    values = [line.values[place] for line in lines]
    best = list(accumulate(values, min if goal.sense == "minimize" else max))
    return Panel(
        str(goal).capitalize(),
        [Curve("trials", numbers, values, style="points"), Curve("best so far", numbers, best)],
        "trial",
        goal.figure,
    )


def front_panel(goals: Sequence[Goal], lines: Sequence[TrialLine]) -> Panel:
    one, other = goals[:2]
    kept = [lines[place] for place in front_of(goals, [line.values for line in lines])]
    kept = sorted(kept, key=lambda line: line.values[0])
    return Panel(
        f"{one} and {other}",
        [
            Curve("trials", *columns(lines), style="points"),
            Curve("none beats these", *columns(kept)),
        ],
        one.figure,
        other.figure,
    )


def columns(lines: Sequence[TrialLine]) -> tuple[list[float], list[float]]:
    return [line.values[0] for line in lines], [line.values[1] for line in lines]


def setting_panel(goal: Goal, part: Range, lines: Sequence[TrialLine]) -> Panel:
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
        goal.figure,
        log="x" if part.log else "none",
    )
