"""Every library of `replay bench`, behind the same few operations."""

# The peers are an extra, which a checker need not have.
# pyright: reportMissingImports=false

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from aitrade_cli.replay.bench.data import (
    ADD_MANY,
    ADD_ONE,
    ADD_ONE_PRIORITIZED,
    ALPHA,
    BETA,
    MANY,
    PRIORITIZED,
    UNIFORM,
    UPDATE,
    Contender,
    Experience,
    one_of,
    transitions,
)
from aitrade_cli.replay.bench.torch_peers import sb3, torchrl
from aitrade_cli.replay.sampling.importance import Annealing
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

PACKAGES: Final = {"cpprb": "cpprb", "torchrl": "torchrl", "sb3": "stable_baselines3"}


def schema_of(data: Experience) -> Schema:
    return Schema(
        (
            Field("obs", "float32", (data.features,)),
            Field("act", "int64"),
            Field("reward", "float32"),
        )
    )


def ours(data: Experience, name: str = "aitrade") -> Contender:
    """Our own store, once drawing uniformly and once by priority."""
    schema = schema_of(data)
    uniform = ReplayStore(schema, data.rows)
    sampler = Proportional(ALPHA, Annealing(BETA, BETA))
    prioritized = ReplayStore(schema, data.rows, sampler=sampler)
    for store in (uniform, prioritized):
        for count in data.parts():
            store.add_batch(**transitions(data, count))
    one, many = one_of(data), transitions(data, MANY)

    def update() -> Callable[[], object]:
        drawn, priorities = prioritized.sample(data.batch).indices, data.priorities()
        return lambda: prioritized.update_priorities(drawn, priorities)

    return Contender(
        name,
        {
            ADD_ONE: lambda: lambda: uniform.add(*one),
            ADD_MANY: lambda: lambda: uniform.add_batch(**many),
            ADD_ONE_PRIORITIZED: lambda: lambda: prioritized.add(*one),
            UNIFORM: lambda: lambda: uniform.sample(data.batch),
            PRIORITIZED: lambda: lambda: prioritized.sample(data.batch),
            UPDATE: update,
        },
        uniform.ring.bytes + prioritized.ring.bytes + sampler.bytes,
    )


def bare_take(data: Experience) -> Contender:
    """The bytes of a uniform batch, gathered by NumPy and nothing else."""
    records = np.ones((data.rows, schema_of(data).record_bytes), dtype=np.uint8)

    def draw() -> Callable[[], object]:
        rows = data.rng.integers(0, data.rows - 1, data.batch)
        both = np.concatenate((rows, rows + 1))
        return lambda: records.take(both, axis=0)

    return Contender("np.take", {UNIFORM: draw}, records.nbytes)


def cpprb(data: Experience) -> Contender:
    import cpprb as library

    fields = {
        "obs": {"shape": data.features},
        "act": {"dtype": np.int64},
        "rew": {},
        "done": {},
        "next_obs": {"shape": data.features},
    }
    uniform = library.ReplayBuffer(data.rows, fields)
    prioritized = library.PrioritizedReplayBuffer(data.rows, fields, alpha=ALPHA)

    for buffer in (uniform, prioritized):
        for count in data.parts():
            buffer.add(**in_its_words(data, count))
    many = in_its_words(data, MANY)
    one = {"obs": data.obs[0], "act": 1, "rew": 1.0, "done": 0.0, "next_obs": data.obs[0]}

    def update() -> Callable[[], object]:
        drawn = prioritized.sample(data.batch, beta=BETA)["indexes"]
        priorities = data.priorities()
        return lambda: prioritized.update_priorities(drawn, priorities)

    row_bytes = 2 * 4 * data.features + 8 + 4 + 4
    return Contender(
        "cpprb",
        {
            ADD_ONE: lambda: lambda: uniform.add(**one),
            ADD_MANY: lambda: lambda: uniform.add(**many),
            ADD_ONE_PRIORITIZED: lambda: lambda: prioritized.add(**one),
            UNIFORM: lambda: lambda: uniform.sample(data.batch),
            PRIORITIZED: lambda: lambda: prioritized.sample(data.batch, beta=BETA),
            UPDATE: update,
        },
        # two binary trees of float32 over the next power of two beside the fields
        2 * row_bytes * data.rows + 4 * 2 * 2 * (1 << (data.rows - 1).bit_length()),
    )


def in_its_words(data: Experience, count: int) -> dict[str, np.ndarray]:
    made = transitions(data, count)
    return {
        "obs": made["obs"],
        "act": made["act"],
        "rew": made["reward"],
        "done": made["terminated"],
        "next_obs": made["next_obs"],
    }


CONTENDERS: Final[Mapping[str, Callable[[Experience], Contender]]] = {
    "cpprb": cpprb,
    "torchrl": torchrl,
    "sb3": sb3,
}


def version_of(name: str) -> str | None:
    """The installed version of a library, or None."""
    package = PACKAGES[name]
    if importlib.util.find_spec(package) is None:
        return None
    return importlib.metadata.version(package.replace("_", "-"))
