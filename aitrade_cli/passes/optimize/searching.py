"""One shape after the other: grow it, store it in every form, time it, remember it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean

from optuna.trial import Trial

from aitrade_cli.errors import AitradeError
from aitrade_cli.passes.optimize.forms import Yard, cost, make_all
from aitrade_cli.passes.optimize.growing import Nursery, Seedling
from aitrade_cli.passes.optimize.points import SAFETY_TAUGHT, Point, best_of, limit_of, measure_of
from aitrade_cli.passes.optimize.report import ShapeLine
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.optimize.shapes import DENSE, Shape
from aitrade_cli.passes.optimize.study import Study

Say = Callable[[str], None]
EASY = 0.7  # share of the flips allowed below which no more training is needed
FORMS_KEPT = 5  # of the source's own, tried on networks pruned from it
FIRST_GUESS = 45.0  # seconds that a shape takes before one has been seen
LAST_CALL = 5.0  # seconds of training that a shape gets at least
REPEATS = 30  # proposals in a row that were tried already: the search has run dry
RESERVE = 0.1  # of the budget, for the last race
STOPPED = "stopped early"
BAR = 10  # characters


@dataclass
class Search:
    """A running search: what it works on, and how long it may go on.

    Attributes:
        study: remembers every trial.
        nursery: makes and trains networks.
        yard: where forms are tried.
        settings: of the command.
        say: told what is happening.
        began: by ``clock``; what came before the search counts too.
        clock: seconds, rising.
        lines: what became of the shapes of this run.
    """

    study: Study
    nursery: Nursery
    yard: Yard
    settings: Settings
    say: Say
    began: float
    clock: Callable[[], float] = time.monotonic
    lines: list[ShapeLine] = field(default_factory=list)

    def run(self) -> None:
        """Try shapes until the time or the number of trials is used up, or none is new."""
        repeats, took = 0, []
        while self.may_go_on(took) and repeats < REPEATS:
            trial, shape = self.study.ask()
            if self.study.is_known(shape):
                self.study.give_up(trial, "proposed before", pruned=False)
                repeats += 1
                continue
            repeats = 0
            at = self.clock()
            self.try_shape(trial, shape)
            if shape != DENSE:
                took.append(self.clock() - at)

    def may_go_on(self, took: Sequence[float]) -> bool:
        """The source itself is always tried; another shape only where it fits the time."""
        answered = len(self.study.answered)
        if answered == 0:
            return True
        if self.settings.trials is not None and answered >= self.settings.trials:
            return False
        left = self.left() - self.settings.seconds * RESERVE
        return left > (mean(took) if took else min(FIRST_GUESS, self.settings.seconds / 4))

    def left(self) -> float:
        """Seconds until the budget is spent."""
        return self.settings.seconds - (self.clock() - self.began)

    def try_shape(self, trial: Trial, shape: Shape) -> None:
        at = self.clock()
        flips: list[float] = []
        try:
            seedling = self.nursery.plant(shape)
            fate = self.grow(trial, seedling, flips)
            if fate is None:
                points = self.points_of(seedling)
                score = score_of(seedling, points, self.settings)
                self.study.keep(trial, score, points)
                fate = f"{len(points)} forms timed"
            else:
                self.study.give_up(trial, fate, pruned=True)
        except AitradeError as error:
            fate = str(error)
            self.study.give_up(trial, fate, pruned=True)
        line = ShapeLine(shape.name, fate, tuple(flips), self.clock() - at)
        self.lines.append(line)

    def grow(self, trial: Trial, seedling: Seedling, flips: list[float]) -> str | None:
        """Train rung by rung; the reason where the shape is given up before the last.

        What decides alike already, or well within the budget, is not trained any further.
        What was given up before is trained to the end this time.
        """
        again = self.study.times_tried(seedling.shape) > 0
        if seedling.rungs and seedling.shape.kind != "student":
            flips.append(self.nursery.look(seedling))
        enough = self.settings.flips_allowed * SAFETY_TAUGHT * EASY
        for rung in range(1, seedling.rungs + 1):
            if flips and min(flips) <= enough:
                return None
            left = self.left()
            took = f"{left / 60:.0f} min left" if left >= 90 else f"{max(left, 0):.0f} s left"
            done = bar(1.0 - left / self.settings.seconds)
            what = f"{seedling.shape.name}: training, rung {rung} of {seedling.rungs}"
            self.say(f"{done} {what}, {took}")
            flips.append(self.nursery.train(seedling, rung, max(left, LAST_CALL)))
            trial.report(promise(seedling, seedling.flips, self.settings), rung)
            if rung < seedling.rungs and not again and trial.should_prune():
                return STOPPED
        return None

    def points_of(self, seedling: Seedling) -> list[Point]:
        """Every form worth a try, timed."""
        shape = seedling.shape
        done = bar(1.0 - self.left() / self.settings.seconds)
        self.say(f"{done} {shape.name}: exporting and quantizing")
        made = make_all(seedling.exported(), self.yard, self.wanted(shape), self.say)
        return cost(shape.name, made, self.yard, self.study.write_graph, self.say)

    def wanted(self, shape: Shape) -> list[str] | None:
        """Forms in which the source itself did well; a student may like others."""
        if shape.kind == "student":
            return None
        own = [
            one
            for one in self.study.points()
            if one.shape == DENSE.name and one.threads == min(self.settings.threads)
        ]
        if not own:
            return None
        own.sort(key=lambda one: measure_of(one, self.settings.minimize))
        return [one.form for one in own[:FORMS_KEPT]]


def bar(share: float) -> str:
    """``[####------]``: how much of the budget is spent."""
    full = round(BAR * min(max(share, 0.0), 1.0))
    return f"[{'#' * full}{'-' * (BAR - full)}]"


def promise(seedling: Seedling, flips: float, settings: Settings) -> float:
    """Smaller is better: what the network costs, and how far it is from deciding alike.

    Counted in parameters, not in seconds, so that the same seed goes the same way.
    """
    limit = max(limit_of(seedling.shape.name, settings), 1e-4)
    return math.log(seedling.size) + 2.0 * math.log(max(1.0, flips / limit))


def score_of(seedling: Seedling, points: Sequence[Point], settings: Settings) -> float:
    """What the next proposals are drawn towards."""
    if not points:
        return math.log(1e6)
    flips = min(one.distance for one in points)
    return promise(seedling, flips, settings)


def singles_of(points: Sequence[Point], settings: Settings) -> dict[str, Point]:
    """The best point that each single command gives by itself, within the budget if any is."""
    commands = sorted({one.command for one in points if one.command})
    return {
        name: best_of([one for one in points if one.command == name], settings) for name in commands
    }
