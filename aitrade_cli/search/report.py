"""What `search` found."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from aitrade_cli.market.deflated import Deflated
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.units import (
    DASH,
    bytes_text,
    count_text,
    microseconds_text,
    number_text,
    seconds_text,
    share_text,
    three_digits,
)

UNITS: Final[Mapping[str, Callable[[float], str]]] = MappingProxyType(
    {
        "latency": microseconds_text,
        "size": bytes_text,
        "seconds": seconds_text,
        "drawdown": share_text,
        "accuracy": share_text,
        "return": share_text,
        "hit_rate": share_text,
        "loss": lambda value: number_text(value, 4),
    }
)
SHOWN: Final = 8  # lines of the front


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One trial.

    Attributes:
        number: as proposed, from 0.
        values: of the goals, in their order.
        settings: what it replaced in the recipe.
        epochs: that were trained.
        found: what was measured for keys that were to be found, such as a batch of 0.
    """

    number: int
    values: tuple[float, ...]
    settings: Mapping[str, Any]
    epochs: int
    found: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchReport:
    """A search as it stands.

    Attributes:
        study: file of the journal; ``output``: of the recipe that was written.
        goals: what was searched for, e.g. ``maximize sharpe``.
        trials: that ended, over all runs; ``complete``, ``pruned`` and ``failed`` of them.
        again: of them, those with the settings of an earlier one, whose answer was taken.
        new: of them, in this run.
        front: trials that no other one beats, the best of the first goal first.
        chosen: whose settings were written.
        recipe: the trial with the recipe's own settings; None where it was not among them.
        deflated: the Sharpe ratio of the chosen one against the luck of the best of all.
        epochs: trained; ``epochs_planned``: what all trials would have taken unpruned.
        wall_seconds: of this run; ``overhead_seconds``: of it, not spent on trials.
        jobs: trials at once; ``where``: ``here``, ``processes`` or ``ray``.
    """

    study: str
    output: str
    goals: tuple[str, ...]
    figures: tuple[str, ...]
    trials: int
    complete: int
    pruned: int
    failed: int
    again: int
    new: int
    front: tuple[TrialLine, ...]
    chosen: TrialLine
    recipe: TrialLine | None
    deflated: Deflated | None
    epochs: int
    epochs_planned: int
    wall_seconds: float
    overhead_seconds: float
    jobs: int
    where: str
    notes: tuple[str, ...]

    JSON_PROPERTIES = ("epochs_saved",)

    @property
    def epochs_saved(self) -> float:
        """Share of the epochs that stopping early left out, 0..1."""
        return 1.0 - self.epochs / self.epochs_planned if self.epochs_planned else 0.0

    @property
    def better(self) -> bool | None:
        """Whether the goals came out better than with the recipe as it is.

        None where it was not tried, or where one goal is better and another worse.
        """
        if self.recipe is None:
            return None
        gains = [
            theirs - mine if goal.startswith("minimize") else mine - theirs
            for goal, mine, theirs in zip(
                self.goals, self.chosen.values, self.recipe.values, strict=True
            )
        ]
        if min(gains) < 0 < max(gains):
            return None
        return max(gains) > 0


@view.register
def _(report: SearchReport) -> Sequence[Block]:
    blocks: list[Block] = [
        Verdict(verdict_of(report), report.better),
        Facts("Search", facts_of(report)),
        front_table(report),
        Facts("Settings of the chosen trial", settings_rows(report.chosen)),
    ]
    if report.notes:
        blocks.append(Notes("Notes", report.notes))
    return tuple(blocks)


def verdict_of(report: SearchReport) -> str:
    told = f"Trial {report.chosen.number}: {values_text(report, report.chosen)}"
    if report.recipe is None:
        return told
    if report.recipe.number == report.chosen.number:
        return f"{told}; nothing that was tried beats the recipe as it is"
    return f"{told}; the recipe as it is: {values_text(report, report.recipe)}"


def values_text(report: SearchReport, line: TrialLine) -> str:
    pairs = zip(report.figures, line.values, strict=True)
    return ", ".join(f"{figure} {figure_text(figure, value)}" for figure, value in pairs)


def figure_text(figure: str, value: float) -> str:
    return UNITS.get(figure, number_text)(value)


def facts_of(report: SearchReport) -> list[tuple[str, str]]:
    share = report.overhead_seconds / max(1, report.new)
    rows = [
        ("Goals", ", ".join(report.goals)),
        (
            "Trials",
            f"{count_text(report.trials)}: {report.complete} complete, {report.pruned} stopped"
            f" early, {report.failed} without an answer; {report.again} had settings of an earlier"
            f" one; {report.new} in this run",
        ),
        ("Epochs trained", f"{report.epochs:,} of {report.epochs_planned:,} planned"),
        (
            "Time",
            f"{seconds_text(report.wall_seconds)}, of it {three_digits(share * 1e3)} ms a trial for"
            " the search itself",
        ),
        ("Study", report.study),
    ]
    if report.deflated is not None:
        luck = report.deflated
        rows.insert(
            2,
            (
                "Not luck",
                f"{share_text(luck.probability)} probable that the Sharpe ratio beats the best of"
                f" {luck.looks} lucky looks",
            ),
        )
    return rows


def front_table(report: SearchReport) -> Table:
    title = "Trials that none beats" if len(report.goals) > 1 else "Best trial"
    varied = list(report.chosen.settings)[:3]
    rows = [
        (
            f"{line.number}{' *' if line.number == report.chosen.number else ''}",
            *(figure_text(f, v) for f, v in zip(report.figures, line.values, strict=True)),
            *(setting_text(line.settings.get(name)) for name in varied),
        )
        for line in report.front[:SHOWN]
    ]
    columns = ("Trial", *report.figures, *(name.rpartition(".")[2] for name in varied))
    return Table(title, columns, rows)


def settings_rows(line: TrialLine) -> list[tuple[str, str]]:
    rows = [(name, setting_text(value)) for name, value in line.settings.items()]
    return rows + [(f"{name}, found", setting_text(value)) for name, value in line.found.items()]


def setting_text(value: object) -> str:
    if value is None:
        return DASH
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value).strip('"')
