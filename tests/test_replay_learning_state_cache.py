"""A step that was computed once is not computed again, and chance is found out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.learning.state_cache import (
    ENTRY_BYTES,
    NotDeterministic,
    StateCache,
    key_of,
)
from aitrade_cli.report.blocks import view

ROOM = 10**6


class Grid:
    """Counts how often it was asked."""

    def __init__(self) -> None:
        self.runs = 0

    def step(self, state: int, action: int) -> Callable[[], dict[str, Any]]:
        def run() -> dict[str, Any]:
            self.runs += 1
            return {"next_obs": np.array([state + action, state]), "reward": float(state * action)}

        return run


def test_a_hit_does_not_run_the_environment() -> None:
    grid, cache = Grid(), StateCache(ROOM, check_share=0.0001)
    for _ in range(100):
        for state in range(5):
            outcome = cache.step(np.array(state), 2, grid.step(state, 2))
            assert outcome["next_obs"].tolist() == [state + 2, state]
            assert outcome["reward"] == 2.0 * state
    report = cache.report()
    assert (report.misses, report.checked, report.hits) == (5, 8, 487)
    assert grid.runs == 13
    assert report.hit_rate == 487 / 500
    assert report.on
    assert view(report)


def test_a_share_of_the_hits_is_computed_again() -> None:
    grid, cache = Grid(), StateCache(ROOM, check_share=0.1)
    for _ in range(1001):
        cache.step(1, 1, grid.step(1, 1))
    assert cache.report().checked == 8 + 100  # hits 1 to 8, then 10, 20 … 1000
    assert grid.runs == 1 + cache.report().checked


def test_an_environment_with_chance_turns_the_cache_off_with_a_warning() -> None:
    rng = np.random.default_rng(0)
    cache = StateCache(ROOM)

    def run() -> dict[str, Any]:
        return {"next_obs": np.zeros(3), "reward": rng.random()}

    cache.step(1, 1, run)
    with pytest.warns(NotDeterministic, match="`reward` differed"):
        now = cache.step(1, 1, run)
    report = cache.report()
    assert not report.on
    assert "not deterministic" in report.reason
    assert (report.entries, report.held_bytes) == (0, 0)
    again = cache.step(1, 1, run)
    assert again["reward"] != now["reward"]
    assert cache.report().hits == 0
    assert view(report)


def test_chance_that_shows_late_is_found_by_the_share() -> None:
    cache, calls = StateCache(ROOM, check_share=0.05), iter(range(10**6))

    def run() -> dict[str, Any]:
        return {"reward": float(next(calls) > 12)}

    def often() -> None:
        for _ in range(200):
            cache.step(1, 1, run)

    with pytest.warns(NotDeterministic):
        often()
    assert not cache.report().on


def test_the_same_nan_is_the_same() -> None:
    cache = StateCache(ROOM)
    for _ in range(20):
        cache.step(1, 1, lambda: {"obs": np.array([np.nan, -0.0])})
    assert cache.report().on


def test_an_outcome_of_another_shape_or_with_another_field_is_another() -> None:
    for later in (
        {"obs": np.zeros(3)},
        {"obs": np.zeros(2), "info": 1},
        {"obs": np.zeros(2, "f4")},
    ):
        cache = StateCache(ROOM)
        cache.step(1, 1, lambda: {"obs": np.zeros(2)})
        with pytest.warns(NotDeterministic):
            cache.step(1, 1, lambda later=later: later)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), max_size=200))
def test_the_cache_is_a_model_lru_of_bounded_bytes(steps: list[tuple[int, int]]) -> None:
    limit = 6 * (ENTRY_BYTES + 200)
    cache = StateCache(limit, check_share=0.0001)
    model: dict[int, int] = {}  # state -> bytes, oldest first
    for state, _ in steps:
        size = 8 * (1 + state % 60) + ENTRY_BYTES
        made: list[int] = []

        def run(made: list[int] = made, state: int = state) -> dict[str, Any]:
            made.append(state)
            return {"obs": np.full(1 + state % 60, float(state))}

        checked = cache.report().checked
        outcome = cache.step(np.array([state]), 0, run)
        assert outcome["obs"].tolist() == [float(state)] * (1 + state % 60)
        known = state in model
        assert bool(made) == (not known or cache.report().checked > checked)
        model.pop(state, None)
        model[state] = size
        while sum(model.values()) > limit:
            del model[next(iter(model))]
        assert cache.report().held_bytes == sum(model.values()) <= limit
        assert cache.report().entries == len(model)


def test_an_outcome_larger_than_the_room_is_not_kept() -> None:
    cache = StateCache(1000)
    cache.step(1, 1, lambda: {"obs": np.zeros(1000)})
    assert cache.report().entries == 0


def different_pairs() -> Iterator[tuple[Any, Any]]:
    yield np.zeros(2), 0
    yield np.zeros(2, np.float32), 0
    yield np.zeros(4, np.float32), 0
    yield np.zeros((2, 2), np.float32), 0
    yield np.zeros(2), 1
    yield np.zeros(2), np.zeros(1)
    yield np.array([0.0, -0.0]), 0
    yield {"a": np.zeros(2)}, 0
    yield {"b": np.zeros(2)}, 0
    yield (np.zeros(2), np.zeros(2)), 0


def test_states_that_differ_in_anything_have_keys_of_their_own() -> None:
    keys = [key_of(state, action) for state, action in different_pairs()]
    assert len(set(keys)) == len(keys)
    assert keys == [key_of(state, action) for state, action in different_pairs()]
    assert key_of(np.arange(6.0)[::2], 0) == key_of(np.array([0.0, 2.0, 4.0]), 0)


def test_nobody_can_spoil_the_next_hit() -> None:
    cache, shared = StateCache(ROOM), np.zeros(2)
    first = cache.step(1, 1, lambda: {"obs": shared})
    with pytest.raises(ValueError, match="read-only"):
        first["obs"][0] = 5.0
    shared[0] = 7.0
    for _ in range(9):
        cache.step(2, 1, lambda: {"obs": np.zeros(2)})
    assert cache.step(1, 1, lambda: {"obs": np.ones(2)})["obs"].tolist() == [0.0, 0.0]


def test_what_cannot_be_kept_or_compared_is_refused() -> None:
    with pytest.raises(BadInput, match="needs room"):
        StateCache(0)
    with pytest.raises(BadInput, match="share of hits"):
        StateCache(10, check_share=0.0)
    with pytest.raises(BadInput, match="`state` is an object"):
        StateCache(10).step(np.array([object()]), 0, dict)
