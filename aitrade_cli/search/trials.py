"""One trial: a recipe with some of its values replaced, trained and measured."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import median
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.errors import AitradeError, BadInput
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.deflated import moments_of
from aitrade_cli.model.card import Arch
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.model.runtimes.interface import first_line
from aitrade_cli.passes.train.network import Start, arch_of, start_of
from aitrade_cli.passes.train.prepare import found_for
from aitrade_cli.passes.train.settings import Settings, settings_of
from aitrade_cli.search.answers import Answer, OnEpoch
from aitrade_cli.search.objectives import Goal
from aitrade_cli.search.varied import SIZE
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.criteria import FIGURES, parse_criteria, value_of
from aitrade_cli.training.goal import Hooks
from aitrade_cli.training.loop import logits_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Run, pursue
from aitrade_cli.training.state import Epoch
from aitrade_cli.training.students import CONFIGS
from aitrade_cli.training.trading import TradedLabels, objective_of, returns_of
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

CLASSES: Final = 3  # short, flat, long
CALLS: Final = 200  # at batch 1, after `WARM`
WARM: Final = 20


EARNED: Final = frozenset(FIGURES) - {"loss", "accuracy"}  # figures of what trades came to


class NoAnswer(BadInput):
    """These settings give no network that could be trained and asked here."""


@dataclass(frozen=True, slots=True)
class Recipes:
    """How trials are made; small enough to be sent to other processes and machines.

    Attributes:
        values: of the recipe, by full names of keys.
        goals: what is measured.
        threads: of each trial; None leaves what torch is set to.
    """

    values: Mapping[str, Any]
    goals: tuple[Goal, ...]
    threads: int | None = None

    def open(self) -> Trainer:
        """Read the bars, and be ready to answer."""
        return Trainer(self)


class Trainer:
    """Trains one recipe after the other on the same bars.

    The test part is not looked at: a search that saw it would have nothing left to be judged by.
    """

    def __init__(self, recipes: Recipes) -> None:
        self.recipes = recipes
        first = settings_for(recipes.values, {})
        self.bars: Bars = read_bars(first.values["data"], first.values["symbol"] or None)
        # Most searches vary no key of the split: its windows are cut once.
        self.parts = lru_cache(maxsize=2)(self._parts)

    def _parts(self, plan: Plan) -> FoldExamples:
        return examples_of(self.bars, plan, folds_of(self.bars, plan)[-1])

    def __call__(self, values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
        """Train what `train` would train, on the last fold.

        Raises:
            AitradeError: whatever would stop the run itself, before a network is trained.
        """
        settings = settings_for(self.recipes.values, values)
        objective = objective_of(
            self.parts(settings.plan), settings.costs, stride=settings.values["split.stride"]
        )
        start = start_of(settings, settings.plan, None)
        with pool_of(self.recipes.threads), failures_told(start.arch):
            prove(start, objective)
            recipe = found_for(cutting_alone(settings), start.network, objective).recipe
            listener = Listener(self.recipes.goals, on_epoch)
            began = time.perf_counter()
            # Without `Hygiene`: a third of a second a trial, and it decides nothing.
            fit = pursue(start.network, objective, recipe, hooks=Hooks(callbacks=(listener,)))
            seconds = time.perf_counter() - began
            figures = {
                **figures_of(fit.best),
                "seconds": seconds,
                **measured(start.network, objective),
            }
        found = {"training.batch": recipe.batch} if settings.finds_batch else {}
        found |= {"training.amp": recipe.precision} if settings.amp == "auto" else {}
        goals = self.recipes.goals
        return Answer(
            values=tuple(figures[goal.figure] or 0.0 for goal in goals),
            figures=figures,
            epochs=len(fit.epochs),
            planned=recipe.epochs,
            pruned=listener.stopped,
            looks=looks_of(recipe, fit.epochs, objective.per_year),
            found=found,
            refused="" if listener.stopped else refusal(goals, figures, recipe, fit.best),
        )


def cutting_alone(settings: Settings) -> Settings:
    """The same without loader processes: batches are no others, and trials run side by side."""
    return replace(settings, values={**settings.values, "training.workers": 0})


def prove(start: Start, objective: TradedLabels) -> None:
    """Ask somebody's own network once, before it is trained.

    Raises:
        NoAnswer: it does not tell the classes apart.
    """
    windows = objective.windows[:2]
    logits = logits_of(start.network, windows)
    if logits.shape != (len(windows), CLASSES):
        raise NoAnswer(
            f"`{start.arch.name}` gives an array of `{list(logits.shape)}` for"
            f" {len(windows)} windows, wanted `[{len(windows)}, {CLASSES}]`"
        )


@contextmanager
def failures_told(arch: Arch) -> Iterator[None]:
    """What torch cannot do with these settings is one trial without an answer, not the end.

    The same proposal would come again, and end the search again: memory that is not enough, a
    compiler that is missing; of somebody's own network, whatever it raises.

    Raises:
        NoAnswer: with the first line of what it said.
    """
    kinds = Exception if arch.foreign else RuntimeError  # torch raises that; our bugs do not
    try:
        yield
    except AitradeError:
        raise
    except kinds as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        told = f"{type(error).__name__}: {first_line(error)}"
        raise NoAnswer(f"`{arch.name}` cannot be trained with these settings: {told}") from error


def measured(network: nn.Module, objective: TradedLabels) -> dict[str, float | None]:
    """What a trained network costs on a CPU, and the moments of what it earned."""
    told = moments_of(returns_of(objective, network))
    network.cpu()
    return {
        "size": float(sum(value.nbytes for value in network.state_dict().values())),
        "latency": latency_us(network, torch.from_numpy(objective.windows[:1].copy())),
        "sharpe_per_bar": None if told is None else told.sharpe,
        "skewness": None if told is None else told.skewness,
        "kurtosis": None if told is None else told.kurtosis,
        "bars": None if told is None else float(told.bars),
    }


class Listener(Callback):
    """Passes the goal's figure on after each pass, and stops the run where it is told to."""

    def __init__(self, goals: Sequence[Goal], on_epoch: OnEpoch) -> None:
        self.figure = goals[0].figure
        self.on_epoch_told = on_epoch
        self.stopped = False

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        if self.on_epoch_told(epoch.number, figures_of(epoch).get(self.figure)):
            self.stopped = True
            run.stop("others were better at this point")


def figures_of(epoch: Epoch) -> dict[str, float | None]:
    return {"loss": epoch.validation_loss, **epoch.figures}


def refusal(
    goals: Sequence[Goal], figures: Mapping[str, float | None], recipe: Recipe, best: Epoch
) -> str:
    """Why a trained network cannot be the answer; empty where it can."""
    for limit in parse_criteria(recipe.early_stop, recipe.patience).limits:
        value = value_of(best, limit.figure)
        if not limit.holds(value):
            came = "is not defined" if value is None else f"of {value:.3g}"
            return f"{limit.figure} {came} breaks the limit `{limit.sense}{limit.bound:g}`"
    missing = [goal.figure for goal in goals if figures.get(goal.figure) is None]
    return f"`{missing[0]}` is not defined: it never traded, or never lost" if missing else ""


def looks_of(recipe: Recipe, epochs: Sequence[Epoch], per_year: float) -> tuple[float, ...]:
    """Sharpe ratio per bar of every pass, where weights were chosen by what they earned.

    Such a trial's figure is itself the best of its passes: each of them was a look. None where
    the loss or the accuracy chose.
    """
    if parse_criteria(recipe.early_stop, recipe.patience).rankings[0].figure not in EARNED:
        return ()
    known = [one.figures.get("sharpe") for one in epochs]
    return tuple(one / math.sqrt(per_year) for one in known if one is not None)


def settings_for(recipe: Mapping[str, Any], values: Mapping[str, Any]) -> Settings:
    """The recipe with a trial's values in place; ``size`` becomes the network's own settings."""
    told = {**recipe, **values}
    size = told.pop(SIZE, None)
    if size is not None:
        own = sized(settings_of(None, told), int(size))
        told = {name: value for name, value in told.items() if not name.startswith("network.")}
        told |= {f"network.{name}": value for name, value in own.items()}
    return settings_of(None, told)


def size_of(settings: Settings) -> int | None:
    """The width that a built-in network's own settings follow from; None where they do not."""
    if settings.arch not in CONFIGS:
        return None
    own = arch_of(settings.arch, settings.network, settings.plan)
    told = [one if isinstance(one, list) else [one] for one in own.config.values()]
    for width in sorted({one for many in told for one in many if type(one) is int and one > 0}):
        if arch_of(settings.arch, sized(settings, width), settings.plan) == own:
            return width
    return None


def sized(settings: Settings, width: int) -> dict[str, Any]:
    """A built-in network's own settings at a width; its window is the split's."""
    config = CONFIGS[settings.arch](width, settings.plan.window)
    return {name: value for name, value in config.items() if name != "window"}


def latency_us(network: nn.Module, window: Float[Tensor, "1 time feature"]) -> float:
    """Median microseconds of a call at batch 1 on one thread."""
    taken: list[float] = []
    with torch.inference_mode(), pool_of(1):
        for number in range(WARM + CALLS):
            began = time.perf_counter()
            network(window)
            if number >= WARM:
                taken.append(time.perf_counter() - began)
    return median(taken) * 1e6
