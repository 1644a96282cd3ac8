"""Everything that is decided before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.passes.train.leaks import LeakCheck, another_future, shuffled_labels
from aitrade_cli.passes.train.network import Start, base_of, plan_for, start_of
from aitrade_cli.passes.train.parts import build_of
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.training.batch_size import BatchChoice, find_batch
from aitrade_cli.training.precision_choice import PrecisionChoice, choose_precision
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of
from aitrade_cli.training.trading import TradedLabels, objective_of
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is decided before the first step, of the last fold."""

    settings: Settings
    bars: Bars
    plan: Plan
    earlier: tuple[FoldExamples, ...]
    parts: FoldExamples
    start: Start
    objective: TradedLabels
    recipe: Recipe
    precision: PrecisionChoice
    batch: BatchChoice | None
    leaks: LeakCheck | None


def prepare(settings: Settings, say: Say = lambda _: None) -> Prepared:
    """Read, cut, prove, build and choose; no weight is changed.

    Raises:
        BadInput: bars that cannot be used, or too few.
        FutureLeaks: something that is learned depends on later bars.
        NoUnits: a number format that this processor has no units for.
    """
    base = base_of(settings)
    plan = plan_for(settings, base)
    bars = read_bars(settings.values["data"], settings.values["symbol"] or None)
    *earlier, parts = [examples_of(bars, plan, fold) for fold in folds_of(bars, plan)]
    leaks = another_future(bars, plan, parts) if settings.values["report.leaks"] != "none" else None
    start = start_of(settings, plan, base)
    objective = objective_of(parts, settings.costs, stride=settings.values["split.stride"])
    build, recipe, batch = build_of(settings), settings.recipe, None
    if settings.finds_batch:
        say("finding the batch size")
        batch = find_batch(start.network, objective, recipe, build=build)
        recipe = replace(recipe, batch=batch.batch)
    if settings.amp == "auto":
        say("finding the fastest number format")
    precision = choose_precision(settings.amp, start.network, objective, recipe, build)
    recipe = replace(recipe, precision=precision.precision)
    if settings.values["report.leaks"] == "full" and leaks is not None:
        say("training on shuffled labels, to prove that they give no edge")
        spoiled = start_of(settings, plan, base).network
        found = shuffled_labels(spoiled, objective.training, parts.validation, recipe)
        leaks = LeakCheck(leaks.windows, *found)
    return Prepared(
        settings,
        bars,
        plan,
        tuple(earlier),
        parts,
        start,
        objective,
        recipe,
        precision,
        batch,
        leaks,
    )


def resolved(ready: Prepared) -> dict[str, Any]:
    """The recipe's values with what was found for those that were to be found."""
    found = {
        "training.batch": ready.recipe.batch,
        "training.amp": ready.recipe.precision,
        "device": device_of(ready.start.network).type,
    }
    network = {f"network.{name}": value for name, value in ready.settings.network.items()}
    return {**ready.settings.values, **network, **found}
