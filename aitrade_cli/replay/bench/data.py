"""What every library of `replay bench` is filled with, and what it is asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.replay.bench.rounds import Prepare, in_parts

ADD_ONE, ADD_MANY = "add 1", "add 1,000"
ADD_ONE_PRIORITIZED = "add 1, prioritized"
UNIFORM, PRIORITIZED, UPDATE = "draw uniformly", "draw prioritized", "update priorities"
OPERATIONS: Final = (ADD_ONE, ADD_MANY, ADD_ONE_PRIORITIZED, UNIFORM, PRIORITIZED, UPDATE)
MANY: Final = 1000
EPISODE: Final = 1000
PART: Final = 10_000
ALPHA: Final = 0.6
BETA: Final = 0.4


@dataclass(frozen=True, slots=True)
class Experience:
    """Random transitions, drawn again and again until every buffer is full.

    Attributes:
        rows: that each buffer holds.
        batch: rows that are drawn.
        obs: one more state than a part has steps.
        rng: of everything that is prepared.
    """

    rows: int
    batch: int
    obs: Float32[np.ndarray, "step feature"]
    rng: np.random.Generator

    @property
    def features(self) -> int:
        return self.obs.shape[1]

    def parts(self) -> list[int]:
        return [end - start for start, end in in_parts(self.rows, PART)]

    def priorities(self) -> np.ndarray:
        """New ones each time: a library may skip what does not change."""
        return self.rng.random(self.batch) + 1e-3


@dataclass(frozen=True, slots=True)
class Contender:
    """One library with full buffers.

    Attributes:
        name: of it.
        ways: what prepares each operation that it has.
        memory_bytes: of its buffers.
        note: what it does not do here.
    """

    name: str
    ways: Mapping[str, Prepare]
    memory_bytes: int | None = None
    note: str = ""
    held: list[Any] = field(default_factory=list)


def experience(rows: int, features: int, batch: int, seed: int) -> Experience:
    rng = np.random.default_rng(seed)
    obs = rng.standard_normal((PART + 1, features), dtype=np.float32)
    return Experience(rows, batch, obs, rng)


def ends_of(count: int) -> np.ndarray:
    ends = np.zeros(count, dtype=np.bool_)
    ends[EPISODE - 1 :: EPISODE] = True
    return ends


def transitions(data: Experience, count: int) -> dict[str, Any]:
    return {
        "obs": data.obs[:count],
        "act": np.zeros(count, dtype=np.int64),
        "reward": np.ones(count, dtype=np.float32),
        # in memory of their own, as they come from an environment: nothing is to be had for free
        "next_obs": data.obs[1 : count + 1].copy(),
        "terminated": ends_of(count),
    }


def one_of(data: Experience) -> tuple[Any, ...]:
    return data.obs[0], 1, 1.0, data.obs[0]
