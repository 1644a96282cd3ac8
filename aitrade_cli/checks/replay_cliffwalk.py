"""How much sooner a learner is there when it draws by priority: the Blind Cliffwalk."""

from __future__ import annotations

from typing import Final

import numpy as np

from aitrade_cli.replay.sampling.importance import Annealing
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

STATES: Final = 8
BATCH: Final = 8
STEP: Final = 0.25
CLOSE: Final = 1e-3  # mean squared error of the values
MOST_UPDATES: Final = 50_000
ALPHA, BETA, EPSILON = 0.6, 0.4, 1e-4
GAMMA: Final = 1.0 - 1.0 / STATES
CLIFFWALK: Final = (
    f"a Blind Cliffwalk of {STATES} states, batches of {BATCH}, until the mean squared error of "
    f"the values is below {CLOSE}"
)


def filled(store: ReplayStore) -> ReplayStore:
    """Every sequence of actions once: the right one goes on, the wrong one ends it with nothing.

    Only the one sequence that is right throughout is rewarded.

    Source:
        Schaul et al. 2016, Prioritized Experience Replay, section 3.1.
        https://arxiv.org/abs/1511.05952
    """
    for number in range(2**STATES):
        wrong = [step for step in range(STATES) if number >> step & 1]
        length = wrong[0] + 1 if wrong else STATES
        states = np.arange(length + 1, dtype=np.float32)[:, None]
        ends = np.arange(length) == length - 1
        store.add_batch(
            obs=states[:-1],
            act=(ends & bool(wrong)).astype(np.int64),
            reward=(ends & (not wrong)).astype(np.float32),
            next_obs=states[1:],
            terminated=ends,
        )
    return store


def updates_needed(store: ReplayStore) -> int:
    """Batches of Q-learning until the values are known."""
    values = np.zeros((STATES + 1, 2))
    truth = np.zeros((STATES, 2))
    truth[:, 0] = GAMMA ** np.arange(STATES - 1, -1, -1)
    for update in range(1, MOST_UPDATES + 1):
        batch = store.sample(BATCH, discount=GAMMA)
        state = np.asarray(batch["obs"])[:, 0].astype(np.int64)
        after = np.asarray(batch["next_obs"])[:, 0].astype(np.int64)
        action = np.asarray(batch["act"])
        best = values[after].max(axis=1)
        target = np.asarray(batch["reward"]) + np.asarray(batch["discount"]) * best
        error = target - values[state, action]
        weights = 1.0 if batch.weights is None else batch.weights
        np.add.at(values, (state, action), STEP * weights * error)
        store.update_priorities(batch.indices, np.abs(error))
        if np.mean((values[:-1] - truth) ** 2) < CLOSE:
            return update
    return MOST_UPDATES


def times_sooner(seeds: int) -> np.ndarray:
    """Of each seed: batches that uniform draws need over those that draws by priority need."""
    schema = Schema(
        (Field("obs", "float32", (1,)), Field("act", "int64"), Field("reward", "float32"))
    )
    capacity = 4 * 2**STATES
    found = np.empty(seeds)
    for seed in range(seeds):
        sampler = Proportional(ALPHA, Annealing(BETA, BETA), epsilon=EPSILON)
        plain = filled(ReplayStore(schema, capacity, seed=seed))
        weighed = filled(ReplayStore(schema, capacity, sampler=sampler, seed=seed))
        found[seed] = updates_needed(plain) / updates_needed(weighed)
    return found


def memory_of_priorities(rows: int, features: int) -> float:
    """What priorities take beside the rows of a store."""
    schema = Schema(
        (Field("obs", "float32", (features,)), Field("act", "int64"), Field("reward", "float32"))
    )
    sampler = Proportional(ALPHA)
    store = ReplayStore(schema, rows, sampler=sampler)
    return sampler.bytes / store.ring.bytes
