"""Learning rates: torch's own curves, closed forms, and steps that do not count."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aitrade_cli.errors import Usage
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.schedules import SCHEDULES, Schedule

RATE = 0.02


def optimizer() -> torch.optim.Optimizer:
    return torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=RATE)


def curve(schedule: Any, made: torch.optim.Optimizer, steps: int) -> list[tuple[float, float]]:
    """Rate and momentum of each step."""
    told = []
    for _ in range(steps):
        group = made.param_groups[0]
        told.append((group["lr"], group["betas"][0]))
        schedule.step()
    return told


def ours(recipe: Recipe, steps: int) -> list[tuple[float, float]]:
    made = optimizer()
    return curve(Schedule(made, recipe, steps), made, steps)


def theirs(make: Any, steps: int) -> list[tuple[float, float]]:
    made = optimizer()
    with warnings.catch_warnings():  # no optimizer step comes before the schedule's
        warnings.simplefilter("ignore")
        return curve(make(made), made, steps)


@pytest.mark.parametrize("steps", [10, 47, 300])
def test_onecycle_is_torch_s_curve_momentum_included(steps: int) -> None:
    def make(made: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.OneCycleLR(made, max_lr=RATE, total_steps=steps)

    wanted = theirs(make, steps - 1)  # its last call would raise
    found = ours(Recipe(learning_rate=RATE, schedule="onecycle"), steps)
    for (rate, momentum), (their_rate, their_momentum) in zip(found, wanted, strict=False):
        assert rate == pytest.approx(their_rate, rel=1e-9, abs=1e-15)
        assert momentum == pytest.approx(their_momentum, rel=1e-9)
    assert found[-1][0] == pytest.approx(RATE / 25 / 1e4)


@pytest.mark.parametrize(("first", "factor"), [(1, 1), (2, 2), (3, 1)])
def test_warm_restarts_are_torch_s_curve(first: int, factor: int) -> None:
    each = 10

    def make(made: torch.optim.Optimizer) -> Any:
        return torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(
            made, T_0=first * each, T_mult=factor
        )

    recipe = Recipe(epochs=12, learning_rate=RATE, schedule="restarts")
    recipe = replace(recipe, restart_epochs=first, restart_factor=factor)
    found, wanted = ours(recipe, 12 * each), theirs(make, 12 * each)
    for (rate, _), (their_rate, _) in zip(found, wanted, strict=True):
        assert rate == pytest.approx(their_rate, abs=1e-12)
    restarted = first * each * factor + first * each  # start of the third cycle
    assert found[first * each][0] == found[restarted][0] == RATE


def test_cosine_with_warm_up_is_its_closed_form() -> None:
    steps, warm = 40, 4
    found = ours(Recipe(learning_rate=RATE), steps)
    for step, (rate, _) in enumerate(found):
        cosine = 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
        assert rate == pytest.approx(RATE * ((step + 1) / warm if step < warm else cosine))
    assert found[warm - 1][0] == RATE


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.integers(1, 400),
    st.integers(1, 30),
    st.floats(0.0, 0.9),
    st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_no_rate_is_negative_or_above_the_highest_and_past_the_end_it_stays(
    name: str, steps: int, epochs: int, warmup: float, factor: int
) -> None:
    recipe = Recipe(epochs=epochs, schedule=name, warmup_share=warmup, restart_factor=factor)
    factor_at = SCHEDULES[name](steps, recipe)
    for step in range(steps):
        assert 0.0 <= factor_at(step) <= 1.0 + 1e-12
    for step in range(steps, steps + 20):
        assert factor_at(step) == factor_at(steps - 1)


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_that_went_on_is_the_one_that_was_never_cut_off(name: str) -> None:
    recipe = Recipe(learning_rate=RATE, schedule=name)
    whole = ours(recipe, 30)
    first, second = optimizer(), optimizer()
    begun = Schedule(first, recipe, 30)
    curve(begun, first, 13)
    resumed = Schedule(second, recipe, 30)
    resumed.restore(begun.state())
    assert curve(resumed, second, 17) == whole[13:]


def test_a_name_that_is_no_schedule_is_refused() -> None:
    with pytest.raises(Usage, match="no schedule is called `warp`"):
        Schedule(optimizer(), Recipe(schedule="warp"), 10)
    with pytest.raises(Usage, match="cannot be"):
        Schedule(optimizer(), Recipe(schedule="restarts", restart_factor=0), 10)
