"""Prioritised draws out of a real store: n-step, eviction, ends of episodes, a folder reopened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.replay.interfaces import Sampler
from aitrade_cli.replay.sampling.by_age import ByAge
from aitrade_cli.replay.sampling.importance import Annealing
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.sampling.ranked import RankBased
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

SCHEMA = Schema((Field("obs", "float32", (2,)), Field("act", "int64"), Field("reward", "float32")))
LAG = Schema((*SCHEMA.fields, Field("policy_version", "int32"), Field("log_prob", "float32")))
GAMMA = 0.5
LENGTH = 7  # steps of an episode


def add_steps(store: ReplayStore, start: int, count: int) -> None:
    """Step n has the number n as state, action and reward; every seventh ends the episode."""
    for number in range(start, start + count):
        state, after = np.full(2, number, np.float32), np.full(2, number + 1, np.float32)
        more = (
            {"policy_version": number // 10, "log_prob": -1.0} if "log_prob" in store.schema else {}
        )
        end = number % LENGTH == LENGTH - 1
        store.add(state, number, float(number), after, terminated=end, **more)


@pytest.mark.parametrize("make", [Proportional, RankBased])
@pytest.mark.parametrize("n_step", [1, 3])
def test_batches_hold_whole_transitions_through_eviction(
    make: Callable[[], Sampler], n_step: int
) -> None:
    store = ReplayStore(SCHEMA, 60, sampler=make(), seed=1)
    rng, seen = np.random.default_rng(0), set()
    for start in range(0, 300, 20):
        add_steps(store, start, 20)
        batch = store.sample(40, n_step=n_step, discount=GAMMA)
        numbers = np.asarray(batch["act"])
        seen |= set(numbers.tolist())
        assert numbers.max() <= start + 19
        assert numbers.min() > start + 19 - 60
        for k, number in enumerate(numbers.tolist()):
            to_end = LENGTH - number % LENGTH  # steps that are left, this one included
            steps = min(n_step, to_end, start + 20 - number)
            reward = sum(GAMMA**j * (number + j) for j in range(steps))
            assert batch["reward"][k] == pytest.approx(reward)
            assert np.asarray(batch["obs"])[k].tolist() == [number, number]
            assert np.asarray(batch["next_obs"])[k].tolist() == [number + steps] * 2
            assert batch["discount"][k] == pytest.approx(0.0 if steps == to_end else GAMMA**steps)
        store.update_priorities(batch.indices, rng.random(40) + 0.01)
    assert len(seen) > 200


def test_a_row_that_mattered_most_is_drawn_most_and_weighs_least() -> None:
    store = ReplayStore(SCHEMA, 200, sampler=Proportional(1.0, Annealing(1.0, 1.0)), seed=2)
    add_steps(store, 0, 50)
    whole = store.sample(200)
    priorities = np.where(np.asarray(whole["act"]) == 13, 49.0, 1.0)
    store.update_priorities(whole.indices, priorities)
    batch = store.sample(1000)
    hits = np.asarray(batch["act"]) == 13
    assert 450 <= hits.sum() <= 550
    assert batch.weights is not None
    assert batch.weights[hits] == pytest.approx(1 / 49, rel=1e-3)
    assert batch.weights[~hits].max() == 1.0


def test_priorities_come_back_with_the_folder(tmp_path: Path) -> None:
    with ReplayStore(
        tmp_path / "s", 100, schema=SCHEMA, sampler=Proportional(epsilon=0.0)
    ) as store:
        add_steps(store, 0, 40)
        drawn = store.sample(400).indices
        store.update_priorities(drawn, (drawn % 5).astype(np.float64))
    again = Proportional(epsilon=0.0)
    with ReplayStore(tmp_path / "s", sampler=again) as store:
        assert set((store.sample(400).indices % 5).tolist()) == {1, 2, 3, 4}
        add_steps(store, 40, 5)
        assert again.largest == 4.0
        assert again.probabilities(np.array([store.total - 1]))[0] > 0


def test_rows_are_drawn_by_the_age_of_their_policy() -> None:
    sampler = ByAge(max_age=2)
    store = ReplayStore(LAG, 500, sampler=sampler, seed=3)
    add_steps(store, 0, 100)
    sampler.version = 9
    batch = store.sample(300)
    assert set(np.asarray(batch["policy_version"]).tolist()) == {7, 8, 9}
    assert np.asarray(batch["log_prob"]).tolist() == [-1.0] * 300
    assert sampler.report().rows == 100


def test_the_same_seed_draws_the_same_batches() -> None:
    drawn = []
    for _ in range(2):
        store = ReplayStore(SCHEMA, 100, sampler=Proportional(), seed=9)
        add_steps(store, 0, 80)
        batch = store.sample(32)
        store.update_priorities(batch.indices, np.linspace(0.1, 2.0, 32))
        drawn.append(store.sample(32).indices.tolist())
    assert drawn[0] == drawn[1]
