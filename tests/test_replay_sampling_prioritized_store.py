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


def products(store: ReplayStore, window: int, count: int = 256) -> np.ndarray:
    """Weight times chance of each row of a batch, which is one number where beta is 1."""
    sampler = store.sampler
    batch = store.sample(count, window=window, pad="skip")
    assert batch.weights is not None
    assert batch.weights.max() == 1.0
    if isinstance(sampler, RankBased):
        rows, every = sampler.probabilities()
        chances = dict(zip(rows.tolist(), every.tolist(), strict=True))
        return batch.weights * np.array([chances[row] for row in batch.indices.tolist()])
    assert isinstance(sampler, Proportional)
    return batch.weights * sampler.probabilities(batch.indices)


@pytest.mark.parametrize("window", [0, 4])
@pytest.mark.parametrize("make", [Proportional, RankBased])
def test_rows_that_were_drawn_again_weigh_by_the_measure_of_the_others(
    make: Callable[..., Sampler], window: int
) -> None:
    sampler = make(1.0, Annealing(1.0, 1.0, 1))
    store = ReplayStore(SCHEMA, 4000, sampler=sampler, seed=1)
    add_steps(store, 0, 700)
    rows = np.arange(store.total)
    store.update_priorities(rows, np.random.default_rng(0).uniform(0.1, 10.0, len(rows)))
    store.sample(8)
    # last states among the newest rows, which a sampler by rank has not looked at yet
    add_steps(store, 700, 14)
    found = products(store, window)
    assert found == pytest.approx(np.full(len(found), found[0]), rel=1e-5)


def test_to_draw_again_is_no_further_step_of_the_annealing() -> None:
    sampler = Proportional()
    store = ReplayStore(SCHEMA, 400, sampler=sampler)
    add_steps(store, 0, 100)
    for _ in range(5):
        store.sample(64, window=6, pad="skip")
    assert sampler.draws == 5


def test_a_row_is_drawn_once_its_next_state_is_there_however_many_came_meanwhile() -> None:
    sampler = Proportional()
    store = ReplayStore(SCHEMA, 30_000, sampler=sampler)
    state, count = np.zeros(2, np.float32), 9000
    store.add(state, 0, 0.0, env=0)
    states = np.arange(2 * count + 2, dtype=np.float32).reshape(-1, 2)
    store.add_batch(
        env=1,
        obs=states[:-1],
        next_obs=states[1:],
        act=np.arange(count),
        reward=np.zeros(count, np.float32),
        terminated=np.arange(count) % LENGTH == 0,
    )
    store.sample(4)
    assert sampler.probabilities(np.array([0]))[0] == 0.0
    store.add(state, 1, 0.0, state, env=0)
    store.sample(4)
    assert store.sampleable(np.array([0]))[0]
    assert sampler.probabilities(np.array([0]))[0] > 0.0


@pytest.mark.parametrize("make", [Proportional, RankBased, ByAge])
def test_last_states_are_not_waited_for(make: Callable[[], Sampler]) -> None:
    store = ReplayStore(LAG, 1000, sampler=make())
    add_steps(store, 0, 300)
    assert not store.waiting(np.arange(store.total)).any()
    store.add(np.full(2, 300, np.float32), 300, 0.0, policy_version=0, log_prob=-1.0)
    assert np.flatnonzero(store.waiting(np.arange(store.total))).tolist() == [store.total - 1]


@pytest.mark.parametrize("make", [Proportional, RankBased])
def test_a_priority_for_a_row_that_cannot_be_drawn_changes_nothing(
    make: Callable[[], Sampler],
) -> None:
    store = ReplayStore(SCHEMA, 50, sampler=make(), seed=4)
    add_steps(store, 0, 14)
    (last, other) = np.flatnonzero(~store.sampleable(np.arange(store.total)))
    store.update_priorities(np.array([last, other]), np.array([1e6, 0.0]))
    assert last not in store.sample(64).indices
    add_steps(store, 14, 1)
    batch = store.sample(200)
    share = np.mean(batch.indices == store.total - 1)
    assert share < 0.5  # a new row gets the largest priority, which is still 1
