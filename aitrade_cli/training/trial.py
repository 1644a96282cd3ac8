"""A few steps of several recipes on copies of a network, taken in turns: time and memory."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median

import torch
from torch import nn

from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.activations import watched
from aitrade_cli.training.build import Build, Built, assemble
from aitrade_cli.training.goal import Objective
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.precision import answers_in_float32
from aitrade_cli.training.randomness import apart
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of, threads_for
from aitrade_cli.training.step import Stepper

USUAL_ROUNDS = 5
WARM_UP = 2


@dataclass(frozen=True, slots=True)
class Trial:
    """What steps of one recipe took.

    Attributes:
        seconds: of each step, in the order taken.
        peak_bytes: that autograd held at the most.
        finite: whether every loss was.
    """

    recipe: Recipe
    seconds: tuple[float, ...]
    peak_bytes: int
    finite: bool

    @property
    def median_s(self) -> float:
        return median(self.seconds)

    @property
    def windows_per_s(self) -> float:
        return self.recipe.batch / self.median_s


class Bench:
    """One recipe on a copy of the network, ready to step."""

    def __init__(
        self, network: nn.Module, objective: Objective, recipe: Recipe, build: Build
    ) -> None:
        self.recipe, self.objective = recipe, objective
        copy = deepcopy(network)
        self.device = device_of(copy).type
        self.built: Built = assemble(copy, nn.Identity(), recipe, build, Alone())
        if recipe.precision != "fp32":
            answers_in_float32(self.built.model)
        self.stepper = Stepper(
            self.built.model,
            objective,
            recipe,
            Alone(),
            self.built.trained,
            self.built.optimizer,
            self.device,
        )
        copy.train()
        self.seconds: list[float] = []
        self.taken = 0

    def step(self, *, timed: bool = True) -> None:
        """One step on the next windows, from the start again where they end."""
        first = (self.taken * self.recipe.batch) % max(1, len(self.objective) - self.recipe.batch)
        rows = torch.arange(first, min(first + self.recipe.batch, len(self.objective)))
        began = time.perf_counter()
        self.stepper.step(rows)
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.taken += 1
        if timed:
            self.seconds.append(time.perf_counter() - began)

    def peak_bytes(self) -> int:
        with watched(self.built.trained) as meter:
            self.step(timed=False)
        return meter.peak_bytes

    def result(self, peak_bytes: int) -> Trial:
        finite = torch.isfinite(torch.tensor(self.stepper.mean())).item()
        return Trial(self.recipe, tuple(self.seconds), peak_bytes, bool(finite))


def time_recipes(
    network: nn.Module,
    objective: Objective,
    recipes: Sequence[Recipe],
    *,
    rounds: int = USUAL_ROUNDS,
    build: Build | None = None,
) -> tuple[Trial, ...]:
    """Step each recipe ``rounds`` times, in turns, so that a busy moment meets all of them.

    Neither the network nor any generator of the caller's is changed.

    Args:
        network: copied for each recipe, and trained on as many threads as a run would.
        objective: its training windows are used from the first on.
        recipes: the same network under other settings.
        rounds: timed steps of each, >= 1.
        build: stages of the caller's own.
    """
    with apart(0, cuda=device_of(network).type == "cuda"), pool_of(threads_for(network)):
        benches = [Bench(network, objective, recipe, build or Build()) for recipe in recipes]
        peaks = [bench.peak_bytes() for bench in benches]
        for bench in benches:
            for _ in range(WARM_UP - 1):
                bench.step(timed=False)
        for number in range(rounds):
            for bench in benches if number % 2 == 0 else reversed(benches):
                bench.step()
        objective.helper.zero_grad()
        return tuple(one.result(peak) for one, peak in zip(benches, peaks, strict=True))
