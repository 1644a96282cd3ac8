r"""Learning rates over a run, each in closed form: what a step's rate is depends on its number.

A rate is a factor of ``Recipe.learning_rate``. Steps are the optimizer's, never the parts of an
accumulated one, and a step that the loss scaler skipped does not count. Past the planned end a
schedule keeps its last value, so a run that grows longer is no error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from torch.optim import Optimizer

from aitrade_cli.errors import Usage
from aitrade_cli.training.recipe import Recipe

Curve = Callable[[int], float]  # step, from 0 -> factor

ONECYCLE_RISE: Final = 0.3  # of all steps
ONECYCLE_START: Final = 1 / 25  # of the highest rate
ONECYCLE_END: Final = ONECYCLE_START / 1e4
MOMENTUM: Final = (0.85, 0.95)  # while the rate is highest, while it is lowest


def constant(_steps: int, _recipe: Recipe) -> Curve:
    """The same rate in every step."""
    return lambda _step: 1.0


def warm_cosine(steps: int, recipe: Recipe) -> Curve:
    """Up in a straight line over the warm-up, then down along a cosine to zero."""
    warm = max(1, round(steps * recipe.warmup_share))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


def warm_linear(steps: int, recipe: Recipe) -> Curve:
    """Up in a straight line over the warm-up, then down in another one to zero."""
    warm = max(1, round(steps * recipe.warmup_share))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return max(0.0, 1.0 - (step - warm) / max(1, steps - warm))

    return factor


def onecycle(steps: int, _recipe: Recipe) -> Curve:
    r"""From 1/25 of the rate up over three tenths of the steps, then down to next to nothing.

    Both legs are halves of a cosine. The rise ends at step $0.3\,n - 1$, the fall at $n - 1$.

    Source:
        Smith and Topin 2019. https://arxiv.org/abs/1708.07120
    """
    return two_legs(steps, ONECYCLE_START, 1.0, ONECYCLE_END)


def two_legs(steps: int, start: float, middle: float, end: float) -> Curve:
    """From one value to the next along half a cosine, and to the last along another."""
    peak, last = ONECYCLE_RISE * steps - 1, steps - 1

    def value(step: int) -> float:
        step = min(step, last)
        if step <= peak:
            return between(start, middle, step / peak if peak > 0 else 1.0)
        return between(middle, end, (step - peak) / max(1e-9, last - peak))

    return value


def restarts(steps: int, recipe: Recipe) -> Curve:
    r"""Down along a cosine to zero, then up at once and down again, each cycle longer.

    Cycle $i$ takes $T_0 m^i$ steps with $T_0$ from ``restart_epochs`` and $m$ from
    ``restart_factor``.

    Source:
        Loshchilov and Hutter 2017, SGDR. https://arxiv.org/abs/1608.03983
    """
    each_epoch = max(1, steps // recipe.epochs)
    first = max(1, (recipe.restart_epochs or math.ceil(recipe.epochs / 4)) * each_epoch)

    def factor(step: int) -> float:
        length = first
        while step >= length:
            step -= length
            length *= recipe.restart_factor
        return 0.5 * (1.0 + math.cos(math.pi * step / length))

    return factor


def held(make: Callable[[int, Recipe], Curve]) -> Callable[[int, Recipe], Curve]:
    """The same curve, which stays where its last planned step left it."""

    def made(steps: int, recipe: Recipe) -> Curve:
        curve, last = make(steps, recipe), max(0, steps - 1)
        return lambda step: curve(min(step, last))

    return made


def between(start: float, end: float, share: float) -> float:
    """Half of a cosine from one value to another."""
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * share))


SCHEDULES: Final[Mapping[str, Callable[[int, Recipe], Curve]]] = MappingProxyType(
    {
        "cosine": held(warm_cosine),
        "onecycle": held(onecycle),
        "restarts": held(restarts),
        "linear": held(warm_linear),
        "constant": constant,
    }
)


class Schedule:
    """Sets an optimizer's rate for the step to come.

    OneCycle also moves Adam's first beta against the rate, as its paper moves momentum.

    Args:
        optimizer: whose groups are set; their rate at the time is the highest.
        recipe: names the curve.
        steps: of the whole run.
    """

    def __init__(self, optimizer: Optimizer, recipe: Recipe, steps: int) -> None:
        make = SCHEDULES.get(recipe.schedule)
        if make is None:
            raise Usage(
                f"no schedule is called `{recipe.schedule}`", hint=f"one of {', '.join(SCHEDULES)}"
            )
        if recipe.restart_factor < 1 or recipe.restart_epochs < 0:
            raise Usage(
                f"restarts after `{recipe.restart_epochs}` epochs, each cycle"
                f" `{recipe.restart_factor}` times as long, cannot be"
            )
        self.optimizer, self.curve, self.done = optimizer, make(steps, recipe), 0
        self.highest = [group["lr"] for group in optimizer.param_groups]
        low, high = MOMENTUM
        cycles = recipe.schedule == "onecycle"
        self.momentum = two_legs(steps, high, low, high) if cycles else None
        self.set()

    def step(self) -> None:
        """One optimizer step was taken."""
        self.done += 1
        self.set()

    def set(self) -> None:
        factor = self.curve(self.done)
        for group, highest in zip(self.optimizer.param_groups, self.highest, strict=True):
            group["lr"] = highest * factor
            if self.momentum is not None and "betas" in group:
                group["betas"] = (self.momentum(self.done), group["betas"][1])

    def state(self) -> dict[str, Any]:
        return {"done": self.done, "highest": list(self.highest)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.done, self.highest = int(state["done"]), list(state["highest"])
        self.set()
