"""Ranges of `[search]`, and what is to become small or large."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.search.objectives import (
    BadGoal,
    Goal,
    balanced,
    beats,
    front_of,
    goals_of,
)
from aitrade_cli.search.space import BadSpace, Choice, Range, Space, space_of


def anything(_name: str, value: Any) -> Any:
    return value


def drawn(space: Space, seed: int) -> dict[str, Any]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return space.draw(study.ask())


def test_a_table_is_read_with_full_names_and_with_sections() -> None:
    table = {
        "arch": ["lstm", "gru"],
        "training.batch": [32, 64],
        "training": {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}},
        "split": {"window": {"low": 16, "high": 64, "step": 16}},
    }
    assert space_of(table, anything).parts == (
        Choice("arch", ("lstm", "gru")),
        Choice("training.batch", (32, 64)),
        Range("training.learning_rate", 1e-4, 1e-2, log=True),
        Range("split.window", 16, 64, step=16),
    )


@pytest.mark.parametrize(
    "told",
    [
        3,
        [1],
        [1, 1],
        {"low": 1},
        {"low": 2, "high": 1},
        {"low": "a", "high": "b"},
        {"low": 0.0, "high": 1.0, "log": True},
        {"low": 1, "high": 9, "log": True, "step": 2},
        {"low": 1, "high": 9, "step": 0},
        {"low": 1, "high": 9, "step": 0.5},
        {"low": 1.0, "high": float("inf")},
        {"low": True, "high": False},
        {"low": 16, "high": 60, "step": 16},
        {"low": 0.0, "high": 1.0, "step": 0.3},
        {"low": 1, "high": 9, "lgo": True},
    ],
)
def test_what_is_no_range_is_refused_by_its_name(told: Any) -> None:
    with pytest.raises(BadSpace, match=r"`training\.batch`"):
        space_of({"training.batch": told}, anything)


def test_steps_that_meet_the_end_in_the_digits_as_written_are_taken() -> None:
    (part,) = space_of({"a": {"low": 0.1, "high": 0.7, "step": 0.2}}, anything).parts
    assert part == Range("a", 0.1, 0.7, step=0.2)
    with pytest.raises(BadSpace) as found:
        space_of({"a": {"low": 16, "high": 60, "step": 16}}, anything)
    assert found.value.hint == "end at 48"
    with pytest.raises(BadSpace, match="`lgo`"):
        space_of({"a": {"low": 1, "high": 9, "lgo": True}}, anything)


def test_a_space_of_nothing_is_refused() -> None:
    with pytest.raises(BadSpace, match="varies nothing"):
        space_of({}, anything)


def test_the_edges_of_a_range_are_checked_as_the_recipe_would() -> None:
    def check(name: str, value: Any) -> Any:
        raise BadInput(f"{name} {value}")

    with pytest.raises(BadInput, match="a 1"):
        space_of({"a": {"low": 1, "high": 2}}, check)


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_what_is_drawn_lies_in_the_space_and_survives_the_journal(seed: int) -> None:
    space = Space(
        (
            Range("a", 1e-4, 1e-1, log=True),
            Range("b", 1, 64, log=True),
            Range("c", 16, 64, step=16),
            Choice("d", ("x", [1, 2], True, 3)),
            Range("e", 0.0, 1.0, step=0.25),
        )
    )
    values = drawn(space, seed)
    assert all(part.holds(values[part.name]) for part in space.parts)
    params = space.as_params(values)
    assert params is not None
    assert space.values_of(params) == values


@pytest.mark.parametrize("value", [0, 65, 17, 32.5, True, "32"])
def test_what_could_not_be_drawn_is_not_held(value: object) -> None:
    assert not Range("c", 16, 64, step=16).holds(value)
    assert Space((Range("c", 16, 64, step=16),)).as_params({"c": value}) is None


def test_goals_come_in_the_order_of_their_flags() -> None:
    found = goals_of(["latency", "size, loss"], ["sharpe"])
    assert [str(one) for one in found] == [
        "minimize latency",
        "minimize size",
        "minimize loss",
        "maximize sharpe",
    ]
    assert goals_of([], []) == (Goal("loss", "minimize"),)
    assert Goal("sharpe", "maximize").each_pass
    assert not Goal("latency", "minimize").each_pass


@pytest.mark.parametrize(("least", "most"), [(["beauty"], []), (["loss"], ["loss"]), ([""], [])])
def test_goals_that_mean_nothing_are_refused(least: list[str], most: list[str]) -> None:
    with pytest.raises(BadGoal):
        goals_of(least, most)


BOTH = goals_of(["latency"], ["sharpe"])
points = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


@given(points)
@settings(max_examples=60, deadline=None)
def test_a_front_is_what_a_slow_look_at_every_pair_leaves(values: list[tuple[int, int]]) -> None:
    kept = [values[place] for place in front_of(BOTH, values)]
    slow = {
        mine
        for mine in values
        if not any(
            (theirs[0] <= mine[0] and theirs[1] >= mine[1]) and theirs != mine for theirs in values
        )
    }
    assert set(kept) == slow
    assert len(kept) == len(slow)
    ordered = sorted(kept)
    assert all(one[1] < other[1] for one, other in pairwise(ordered))


def test_better_in_one_and_worse_in_the_other_beats_nobody() -> None:
    assert not beats(BOTH, (1, 1), (2, 2))
    assert beats(BOTH, (1, 2), (2, 2))
    assert not beats(BOTH, (2, 2), (2, 2))


def test_the_balanced_point_is_the_one_nearest_to_every_best() -> None:
    assert balanced(BOTH, [(1.0, 0.0), (2.0, 9.0), (10.0, 10.0)]) == 1
    assert balanced((Goal("loss", "minimize"),), [(3.0,)]) == 0


def test_of_two_points_that_are_as_near_the_scale_of_all_trials_decides() -> None:
    front = [(46.4, 0.15), (47.8, 0.8)]
    assert balanced(BOTH, front, [*front, (53.0, -0.6)]) == 1
    assert balanced(BOTH, front, [*front, (47.9, -90.0)]) == 0
    assert balanced(BOTH, front, front) == 0
