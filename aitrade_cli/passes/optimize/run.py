"""`optimize`: from a source to the best artefact that a search finds, judged once at the end.

Four stretches of bars are kept apart: networks are taught on the first, ranges are
calibrated on the second, points are chosen on the third, and only the one that ships is
judged on the fourth, which no step before has seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from aitrade_cli.model.artefact import Artefact, NativePackage
from aitrade_cli.model.network import NativeProgram
from aitrade_cli.passes.equity import Equity
from aitrade_cli.passes.optimize.final import Finish, NothingToPick
from aitrade_cli.passes.optimize.folder import refuse_strangers
from aitrade_cli.passes.optimize.ground import architecture_of, key_of, prepare_ground
from aitrade_cli.passes.optimize.outcome import change_of, report_of
from aitrade_cli.passes.optimize.pictures import figure_of
from aitrade_cli.passes.optimize.points import SAFETY_TAUGHT, Point
from aitrade_cli.passes.optimize.report import OptimizeReport
from aitrade_cli.passes.optimize.searching import Search
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.optimize.shapes import plan
from aitrade_cli.passes.optimize.study import opened
from aitrade_cli.passes.ship import ship
from aitrade_cli.report.plot import Figure

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Optimized:
    """What came of it: bytes with the verdict inside, the report, points and two curves."""

    data: bytes
    report: OptimizeReport
    points: tuple[Point, ...]
    equities: tuple[Equity, ...]

    def figure(self) -> Figure:
        """The front, and the equity before and after."""
        return figure_of(self.report, self.points, self.equities)


def optimize_artefact(
    source: Artefact,
    settings: Settings,
    output: str,
    folder: Path,
    pick: int | None = None,
    say: Say = lambda _: None,
) -> Optimized:
    """Search until the budget is spent, then ship the best point, or the one that was picked.

    Args:
        source: torch weights, or a graph; networks are cut and taught only from weights.
        settings: what was asked for.
        output: name of the file that will be written, for the report.
        folder: of the study; one that exists is gone on with.
        pick: number of a point on the front, from 1; nothing more is searched then.
        say: told what is happening.

    Raises:
        NoSuchPoint: the front has no such point.
        NothingToPick: there is no front yet.
        OtherStudy: the folder remembers another search.
        NativeProgram: the source is a compiled package; its parent is named.
        BadInput: bars or model cannot be used.
    """
    began = time.monotonic()
    if isinstance(source.network, NativePackage):
        raise NativeProgram(source)
    if pick is not None and not folder.is_dir():
        raise NothingToPick(f"`{folder}` is no study")
    refuse_strangers(folder)
    say("asking the source for its answers")
    ground = prepare_ground(source, settings)
    free = ground.nursery.forgettable(settings.flips_allowed * SAFETY_TAUGHT)
    kinds = ground.nursery.kinds
    proposals = plan(kinds, architecture_of(source), free)
    with opened(folder, key_of(ground, settings), kinds, proposals, settings.seed) as study:
        search = Search(study, ground.nursery, ground.yard, settings, say, began)
        if pick is None:
            search_on(search, folder)
        final = Finish(study, ground, settings)
        front = final.race(say) if pick is None else final.remembered()
        chosen = front.chosen(settings, pick)
        made = final.made_of(chosen, output)
    say("judging the one that ships")
    shipped = ship(change_of(ground, made, chosen, settings), ground.yard.windows, say)
    seconds = time.monotonic() - began
    report = report_of(ground, settings, search, front, chosen, shipped, seconds)
    report = replace(report, output=output, study=str(folder))
    return Optimized(shipped.data, report, front.measured, shipped.equities)


def search_on(search: Search, folder: Path) -> None:
    try:
        search.run()
    except KeyboardInterrupt:
        kept = len(search.study.answered)
        search.say(f"stopped; `{folder}` remembers {kept} networks: the same command goes on")
        raise
