"""The language of early stopping: what it ranks, what it forbids, when it has waited enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aitrade_cli.training.criteria import (
    FIGURES,
    BadCriterion,
    Criteria,
    Limit,
    Ranking,
    parse_criteria,
)
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.run import Hooks, Recipe, pursue
from aitrade_cli.training.state import Epoch
from tests.test_training_loop import arch, planted
from tests.training_cases import AfterEachPass


def epochs_of(*told: Mapping[str, float | None]) -> list[Epoch]:
    return [
        Epoch(number, 1.0, one.get("loss") or 1.0, best=False, figures=one)
        for number, one in enumerate(told, start=1)
    ]


def test_the_example_of_the_help_reads_as_it_says() -> None:
    told = parse_criteria("sharpe:max:patience=5:delta=0.1, drawdown:<0.2", 3)
    assert told == Criteria((Ranking("sharpe", "max", 5, 0.1),), (Limit("drawdown", "<", 0.2),))
    assert told.figures == ("sharpe", "drawdown")
    assert parse_criteria("", 3) == Criteria((Ranking("loss", "min", 3),))
    assert parse_criteria("sharpe:>0", 3).rankings == (Ranking("loss", "min", 3),)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sharp:max", "names no figure"),
        ("sharpe", "does not say what is wanted"),
        ("sharpe:up", "wanted max, min"),
        ("sharpe:max:patience=0", "no patience=N"),
        ("sharpe:max:patience=x", "`x` is no number"),
        ("drawdown:<", "`` is no number"),
        ("drawdown:<nan", "`nan` is no number"),
        ("drawdown:<0.2:patience=3", "wanted max, min"),
        ("sharpe:max:delta=-1", "no patience=N and no delta=X"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_part(text: str, told: str) -> None:
    with pytest.raises(BadCriterion, match=told):
        parse_criteria(text, 5)


@given(st.text(alphabet="sharpe:max<>0.2,=patiencdlt ", max_size=30))
@settings(max_examples=200, deadline=None)
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(BadCriterion):
        parse_criteria(text, 5)


def test_the_first_ranking_chooses_among_epochs_that_hold_the_limits() -> None:
    told = parse_criteria("sharpe:max,drawdown:<0.2", 5)
    run = epochs_of(
        {"sharpe": 1.0, "drawdown": 0.5},
        {"sharpe": 0.2, "drawdown": 0.1},
        {"sharpe": 3.0, "drawdown": 0.4},
        {"sharpe": 0.3, "drawdown": 0.1},
        {"sharpe": None, "drawdown": 0.1},
    )
    best = [told.is_best(epoch, run[:number]) for number, epoch in enumerate(run)]
    assert best == [True, True, False, True, False]


def test_a_run_goes_on_while_any_ranking_still_improves() -> None:
    told = parse_criteria("sharpe:max:patience=2,loss:min:patience=2", 9)
    run = epochs_of(*({"sharpe": 1.0, "loss": 1.0 - 0.1 * step} for step in range(5)))
    assert told.exhausted(run, 5) == ""
    worse = epochs_of(*({"sharpe": 1.0, "loss": 1.0 + 0.1 * step} for step in range(5)))
    assert told.exhausted(worse[:2], 2) == ""
    assert "sharpe no better for 2 epochs" in told.exhausted(worse[:3], 3)


def test_delta_shortens_the_wait_and_chooses_nothing() -> None:
    told = parse_criteria("sharpe:max:patience=2:delta=0.5", 9)
    run = epochs_of({"sharpe": 1.0}, {"sharpe": 1.2}, {"sharpe": 1.4})
    assert told.exhausted(run, 3) != ""
    assert told.is_best(run[2], run[:2])


@given(
    st.lists(st.none() | st.floats(-9, 9), min_size=1, max_size=12),
    st.integers(1, 4),
    st.sampled_from(["max", "min"]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_kept_is_the_best_of_all_that_are_defined(
    values: list[float | None], patience: int, sense: str
) -> None:
    told = parse_criteria(f"sharpe:{sense}:patience={patience}", 9)
    run = epochs_of(*({"sharpe": value} for value in values))
    kept = [epoch for number, epoch in enumerate(run) if told.is_best(epoch, run[:number])]
    defined = [value for value in values if value is not None]
    if defined:
        wanted = max(defined) if sense == "max" else min(defined)
        assert kept[-1].figures["sharpe"] == wanted
    else:
        assert kept == []


class Figured(Labels):
    """Validation figures that are planted, in the order in which they are asked for."""

    def plan(self, **figures: list[float]) -> Figured:
        self.planned = figures
        self.asked = 0
        return self

    def figures(self, network: nn.Module) -> dict[str, float | None]:
        assert isinstance(network, nn.Module)
        self.asked += 1
        return {name: values[self.asked - 1] for name, values in self.planned.items()}


def test_a_run_keeps_the_weights_of_the_epoch_that_the_criteria_choose() -> None:
    passes = AfterEachPass()
    goal = Figured(planted(64), planted(32)).plan(sharpe=[0.1, 0.9, 0.3, 0.2, 0.1])
    network = fresh(arch("mlp"), 1)
    recipe = Recipe(epochs=5, batch=32, early_stop="sharpe:max:patience=2")
    fit = pursue(network, goal, recipe, hooks=Hooks(callbacks=(passes,)))
    assert (fit.best.number, len(fit.epochs)) == (2, 4)
    assert "sharpe no better for 2 epochs" in fit.stopped
    kept = passes.states[1].weights
    assert all(np.array_equal(value, kept[name]) for name, value in network.state_dict().items())


def test_figures_are_those_that_an_objective_of_bars_measures() -> None:
    assert set(FIGURES) >= {"loss", "sharpe", "sortino", "drawdown", "profit_factor"}
    assert math.isfinite(len(FIGURES))


def test_the_wait_counts_from_the_epoch_that_is_kept_not_from_one_that_may_not_be() -> None:
    told = parse_criteria("sharpe:max:patience=5,drawdown:<0.2", 9)
    forbidden = {"sharpe": 3.0, "drawdown": 0.5}
    rising = [{"sharpe": 0.1 * step, "drawdown": 0.1} for step in range(1, 6)]
    run = epochs_of(forbidden, *rising)
    assert [epoch.number for n, epoch in enumerate(run) if told.is_best(epoch, run[:n])] == [
        1, 2, 3, 4, 5, 6
    ]  # fmt: skip
    assert told.exhausted(run, 6) == ""
    flat = epochs_of(forbidden, *[{"sharpe": 0.1, "drawdown": 0.1}] * 6)
    assert told.exhausted(flat[:6], 6) == ""
    assert told.exhausted(flat, 7) == "sharpe no better for 5 epochs"


def test_where_no_epoch_holds_the_limits_the_wait_is_as_without_them() -> None:
    told = parse_criteria("sharpe:max:patience=2,drawdown:<0.2", 9)
    run = epochs_of(*[{"sharpe": 1.0, "drawdown": 0.5}] * 3)
    assert told.exhausted(run[:2], 2) == ""
    assert told.exhausted(run, 3) == "sharpe no better for 2 epochs"


def test_a_figure_that_is_not_defined_holds_no_limit() -> None:
    told = parse_criteria("loss:min,profit_factor:>1", 9)
    assert not told.allows(epochs_of({"profit_factor": None})[0])
    assert told.allows(epochs_of({"profit_factor": 1.5})[0])
