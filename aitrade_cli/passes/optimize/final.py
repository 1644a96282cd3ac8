"""The last race: every point worth keeping beside the source, numbered for `--pick`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aitrade_cli import files
from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.loading import load
from aitrade_cli.passes.optimize.forms import SOURCE, Form, Made, race
from aitrade_cli.passes.optimize.ground import Ground
from aitrade_cli.passes.optimize.points import Point, allowed, best_of, front_of, measure_of
from aitrade_cli.passes.optimize.searching import singles_of
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.optimize.shapes import DENSE
from aitrade_cli.passes.optimize.study import Study
from aitrade_cli.passes.taught import taught_card

Say = Callable[[str], None]
ROUNDS: Final = 20
SHARE_OF_TIME: Final = 2 / 3  # of what two models get: many stand in that race
MOST: Final = 10  # points of the front in that race
FRONT: Final = "front.json"


class NoSuchPoint(Usage):
    """`--pick` names no point of the front."""


class NothingToPick(BadInput):
    """There is no front yet."""

    default_hint = "run the same command without `--pick` first"


@dataclass(frozen=True, slots=True)
class Front:
    """Points that nothing beats, timed in one race.

    Attributes:
        points: fastest first.
        singles: the best that each single command gives by itself, from the same race.
        measured: every point of the study.
    """

    points: tuple[Point, ...]
    singles: dict[str, Point]
    measured: tuple[Point, ...]

    def chosen(self, settings: Settings, pick: int | None) -> Point:
        """The best point, or the one that was picked.

        Raises:
            NoSuchPoint: there is none of that number.
        """
        if pick is None:
            return best_of(self.points, settings)
        if not 1 <= pick <= len(self.points):
            raise NoSuchPoint(
                f"`--pick {pick}` is no point of the front", hint=f"pick 1 to {len(self.points)}"
            )
        return self.points[pick - 1]


@dataclass(frozen=True, slots=True)
class Finish:
    """A study whose search is over."""

    study: Study
    ground: Ground
    settings: Settings

    def race(self, say: Say) -> Front:
        """Time the front and the best of each single command in one race, and remember it.

        Raises:
            BadInput: the study holds no point at all.
        """
        measured = self.study.points()
        if not measured:
            raise BadInput(f"`{self.ground.source.name}` runs in none of the forms tried here")
        singles = singles_of(measured, self.settings)
        again = self.timed(self.worth_timing(measured, singles), say)
        points = tuple(again.values())
        best = best_of(points, self.settings)  # more flips may be allowed to it than to its better
        shown = dict.fromkeys((*front_of(points), best))
        front = Front(
            tuple(sorted(shown, key=lambda one: (-one.speedup, one.size_bytes))),
            {name: again[point] for name, point in singles.items() if point in again},
            measured,
        )
        self.remember(front)
        return front

    def worth_timing(
        self, measured: Sequence[Point], singles: dict[str, Point]
    ) -> tuple[Point, ...]:
        """The front of all, the front of those within the budget, and each command's best."""
        within = [one for one in measured if allowed(one, self.settings)]
        found = dict.fromkeys((*front_of(within), *front_of(measured)))
        wanted = self.settings.minimize
        order = sorted(
            found, key=lambda one: (not allowed(one, self.settings), measure_of(one, wanted))
        )
        return tuple(dict.fromkeys((*order[:MOST], *singles.values())))

    def timed(self, points: Sequence[Point], say: Say) -> dict[Point, Point]:
        say(f"timing the best {len(points)} in one race")
        entrants = [entrant(point, self.made_of(point, point.name)) for point in points]
        effort = self.settings.effort
        shorter = replace(effort, rounds=ROUNDS, seconds=SHARE_OF_TIME * effort.seconds)
        report = race(entrants, self.ground.yard, shorter, say)
        ran = {each.variant for each in report.latencies}
        return {
            point: point.timed(
                report.speed(point.name, SOURCE).value, report.latency(point.name).latency_us_p50
            )
            for point in points
            if point.name in ran
        }

    def made_of(self, point: Point, name: str) -> Artefact:
        """A point's artefact with the source's sample and history, and its own way to run."""
        kept = load(self.study.read_graph(point.file), name=name)
        source = self.ground.source.card
        card = replace(kept.card, sample=source.sample, history=source.history)
        material = self.ground.nursery.material
        if material is not None and point.shape != DENSE.name:
            card = taught_card(card, material, self.ground.evidence)
        return replace(kept, card=card, name=name, sha256=None)

    def remember(self, front: Front) -> None:
        data = {
            "points": [point.as_data() for point in front.points],
            "singles": {name: point.as_data() for name, point in front.singles.items()},
        }
        files.replace(self.study.folder / FRONT, json.dumps(data, indent=1).encode())

    def remembered(self) -> Front:
        """The front as it was printed last.

        Raises:
            NothingToPick: no search has ended in this folder.
        """
        path = self.study.folder / FRONT
        try:
            data: dict[str, Any] = json.loads(path.read_text())
            points = tuple(Point.from_data(one) for one in data["points"])
            singles = {name: Point.from_data(one) for name, one in data["singles"].items()}
        except FileNotFoundError:
            raise NothingToPick(f"`{self.study.folder}` holds no front to pick from") from None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise NothingToPick(f"`{path}` cannot be read: {error}") from error
        return Front(points, singles, self.study.points())


def entrant(point: Point, made: Artefact) -> Made:
    runs_on, graph = made.card.runs_on, made.network
    if runs_on is None or not isinstance(graph, OnnxGraph):
        raise BadInput(f"`{point.file}` of the study is no artefact of a search")
    return Made(point.name, Form(point.form, runs_on), made, graph, point.flips)
