"""One trial: a recipe with some of its values replaced, trained and measured."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import Any, Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.market.bars import Bars, read_bars
from aitrade_cli.market.deflated import moments_of
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.passes.train.network import arch_of
from aitrade_cli.passes.train.settings import Settings, settings_of
from aitrade_cli.search.answers import Answer, OnEpoch
from aitrade_cli.search.objectives import Goal
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.goal import Hooks
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.run import Run, pursue
from aitrade_cli.training.state import Epoch
from aitrade_cli.training.students import CONFIGS
from aitrade_cli.training.trading import objective_of, returns_of
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

SIZE: Final = "size"  # a key that only a search has: one width that sets a network's all
CALLS: Final = 200  # at batch 1, after `WARM`
WARM: Final = 20


class Undefined(BadInput):
    """A figure that is searched for does not exist here, such as the Sharpe ratio of no trade."""


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
        settings = settings_for(self.recipes.values, values)
        parts = self.parts(settings.plan)
        stride = settings.values["split.stride"]
        objective = objective_of(parts, settings.costs, stride=stride)
        network = fresh(
            arch_of(settings.arch, settings.network, settings.plan), settings.recipe.seed
        )
        listener = Listener(self.recipes.goals, on_epoch)
        began = time.perf_counter()
        with pool_of(self.recipes.threads):
            fit = pursue(network, objective, settings.recipe, hooks=Hooks(callbacks=(listener,)))
        seconds = time.perf_counter() - began
        told = moments_of(returns_of(objective, network))
        figures: dict[str, float | None] = {
            **figures_of(fit.best),
            "seconds": seconds,
            "size": float(sum(value.nbytes for value in network.state_dict().values())),
            "latency": latency_us(network, torch.from_numpy(objective.windows[:1].copy())),
            "sharpe_per_bar": None if told is None else told.sharpe,
            "skewness": None if told is None else told.skewness,
            "kurtosis": None if told is None else told.kurtosis,
            "bars": None if told is None else float(told.bars),
        }
        return Answer(
            values=values_of(self.recipes.goals, figures),
            figures=figures,
            epochs=len(fit.epochs),
            planned=settings.recipe.epochs,
            pruned=listener.stopped,
        )


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


def values_of(goals: Sequence[Goal], figures: Mapping[str, float | None]) -> tuple[float, ...]:
    """What the goals came to.

    Raises:
        Undefined: one of them does not exist here.
    """
    found = []
    for goal in goals:
        value = figures.get(goal.figure)
        if value is None:
            raise Undefined(f"`{goal.figure}` is not defined: it never traded, or never lost")
        found.append(value)
    return tuple(found)


def settings_for(recipe: Mapping[str, Any], values: Mapping[str, Any]) -> Settings:
    """The recipe with a trial's values in place; ``size`` becomes the network's own settings."""
    told = {**recipe, **values}
    size = told.pop(SIZE, None)
    if size is not None:
        usual = settings_of(None, told).values  # where the recipe leaves one out
        own = CONFIGS[usual["arch"]](int(size), usual["split.window"])
        own.pop("window", None)  # the split says it
        told = {name: value for name, value in told.items() if not name.startswith("network.")}
        told |= {f"network.{name}": value for name, value in own.items()}
    return settings_of(None, told)


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
