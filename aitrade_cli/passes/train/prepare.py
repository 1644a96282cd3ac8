"""Everything that is decided before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.passes.train.leaks import LeakCheck, another_future, shuffled_labels
from aitrade_cli.passes.train.network import Start, base_of, own_values, plan_for, start_of
from aitrade_cli.passes.train.parts import build_alone
from aitrade_cli.passes.train.seen import Unseen, unseen
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.passes.train.together import refuse_together
from aitrade_cli.training.batch_size import BatchChoice, find_batch
from aitrade_cli.training.feeding import find_workers
from aitrade_cli.training.loading import LoaderSettings
from aitrade_cli.training.precision_choice import PrecisionChoice, choose_precision
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of
from aitrade_cli.training.trading import TradedLabels, objective_of
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What was asked for, or found by measurement where that was asked for.

    Attributes:
        batch: the search for it; None where it was named.
        loader: how batches are cut.
    """

    recipe: Recipe
    precision: PrecisionChoice
    batch: BatchChoice | None
    loader: LoaderSettings


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is decided before the first step, of the last fold."""

    settings: Settings
    bars: Bars
    plan: Plan
    split: Unseen
    start: Start
    objective: TradedLabels
    found: Found
    leaks: LeakCheck | None

    @property
    def parts(self) -> FoldExamples:
        """The last fold."""
        return self.split.parts

    @property
    def recipe(self) -> Recipe:
        """The loop's settings, nothing left to find."""
        return self.found.recipe


def prepare(settings: Settings, say: Say = lambda _: None, world: int = 1) -> Prepared:
    """Read, cut, prove, build and choose; no weight is changed and no file.

    Args:
        settings: what was asked for.
        say: told what is happening.
        world: processes that will share each batch.

    Raises:
        BadInput: bars that cannot be used, or too few.
        SeenBefore: the base model learned from bars of the test part.
        FutureLeaks: something that is learned depends on later bars.
        Usage: two things that exclude each other.
        NoUnits: a number format that this processor has no units for.
    """
    base = base_of(settings)
    plan = plan_for(settings, base)
    bars = read_bars(settings.values["data"], settings.values["symbol"] or None)
    split = unseen(base, [examples_of(bars, plan, fold) for fold in folds_of(bars, plan)])
    asked = "none" if settings.proven else settings.values["report.leaks"]
    leaks = another_future(bars, plan, split.parts) if asked != "none" else None
    start = start_of(settings, plan, base)
    refuse_together(settings, start.network, world)
    objective = objective_of(split.parts, settings.costs, stride=settings.values["split.stride"])
    found = found_for(settings, start.network, objective, say)
    if asked == "full" and leaks is not None:
        say("training on shuffled labels, to prove that they give no edge")
        spoiled = start_of(settings, plan, base).network
        told = shuffled_labels(
            spoiled,
            objective.training,
            split.parts.validation,
            found.recipe,
            plan.labelling.horizon,
        )
        leaks = LeakCheck(leaks.windows, *told)
    return Prepared(settings, bars, plan, split, start, objective, found, leaks)


def found_for(
    settings: Settings, network: nn.Module, objective: TradedLabels, say: Say = lambda _: None
) -> Found:
    """Measure what is to be measured: batch, number format and loader, in this order."""
    build, recipe, batch = build_alone(settings), settings.recipe, None
    if settings.finds_batch:
        say("finding the batch size")
        batch = find_batch(network, objective, recipe, build=build)
        recipe = replace(recipe, batch=batch.batch)
    if settings.amp == "auto":
        say("finding the fastest number format")
    precision = choose_precision(settings.amp, network, objective, recipe, build)
    recipe = replace(recipe, precision=precision.precision)
    workers = settings.values["training.workers"]
    if workers < 0:
        say("finding how many processes should cut batches")
        workers = find_workers(network, objective, recipe).settings.workers
    return Found(recipe, precision, batch, LoaderSettings(workers))


def resolved(ready: Prepared) -> dict[str, Any]:
    """The recipe's values with what was found for those that were to be found.

    Where a base model was taken up its own architecture and window stand there, not what the
    recipe would have made.
    """
    found = {
        "training.batch": ready.recipe.batch,
        "training.amp": ready.recipe.precision,
        "training.workers": ready.found.loader.workers,
        "device": device_of(ready.start.network).type,
    }
    return {**own_values(ready.settings, ready.start, ready.plan), **found}
