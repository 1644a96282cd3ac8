"""Episodes whose every number is known, and what a batch of them has to hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.disk.layout import Placed
from aitrade_cli.replay.sampling.windows import Pad
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

SCHEMA = Schema(
    (Field("obs", "float32", (3,)), Field("act", "int64", (1,)), Field("reward", "float32"))
)
GAMMA = 0.9


@dataclass(frozen=True, slots=True)
class Episode:
    """One state more than actions. ``act`` is the number of the step, given once."""

    obs: np.ndarray
    act: np.ndarray
    reward: np.ndarray
    terminated: bool

    def __len__(self) -> int:
        return len(self.act)

    def transition(self, step: int) -> dict[str, Any]:
        last = step == len(self) - 1
        return {
            "obs": self.obs[step],
            "act": self.act[step],
            "reward": float(self.reward[step]),
            "next_obs": self.obs[step + 1],
            "terminated": last and self.terminated,
            "truncated": last and not self.terminated,
        }


def episodes(count: int, seed: int, longest: int = 12) -> list[Episode]:
    rng = np.random.default_rng(seed)
    made, number = [], 0
    for _ in range(count):
        length = int(rng.integers(1, longest))
        made.append(
            Episode(
                rng.normal(size=(length + 1, 3)).astype(np.float32),
                np.arange(number, number + length)[:, None],
                rng.normal(size=length).astype(np.float32),
                bool(rng.integers(2)),
            )
        )
        number += length
    return made


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def add_singly(store: ReplayStore, made: Sequence[Episode]) -> set[int]:
    return {number_of(row) for row in steps(made) if store.add(**row) >= 0}


def add_in_batches(store: ReplayStore, made: Sequence[Episode]) -> set[int]:
    rows = list(steps(made))
    sizes = np.random.default_rng(0).integers(1, 30, len(rows))
    start = 0
    for size in sizes.tolist():
        if start < len(rows):
            store.add_batch(env=0, **columns(rows[start : start + size]))
        start += size
    return set(map(number_of, rows))


def add_as_vector(store: ReplayStore, made: Sequence[Episode], envs: int = 4) -> set[int]:
    """Each environment plays every fourth episode; stops when one has no more."""
    added: set[int] = set()
    for together in zip(*(steps(made[lane::envs]) for lane in range(envs)), strict=False):
        store.add_vector(**columns(together))
        added |= set(map(number_of, together))
    return added


def number_of(row: dict[str, Any]) -> int:
    return int(row["act"][0])


def steps(made: Sequence[Episode]) -> Iterator[dict[str, Any]]:
    for episode in made:
        for step in range(len(episode)):
            yield episode.transition(step)


ADDERS = {"singly": add_singly, "in batches": add_in_batches, "as vector": add_as_vector}


def check_batch(
    batch: Batch, made: Sequence[Episode], n_step: int, window: int, pad: Pad, added: set[int]
) -> None:
    """Hold every row of a batch against the episodes, in plain Python."""
    where = {int(a): (e, t) for e in made for t, a in enumerate(e.act[:, 0])}
    for row, number in enumerate(np.asarray(batch["act"])[:, 0].tolist()):
        episode, step = where[number]
        known = sum(1 for a in episode.act[step:, 0].tolist() if a in added)
        taken = min(n_step, known)
        total = sum(GAMMA**k * float(episode.reward[step + k]) for k in range(taken))
        over = step + taken == len(episode)
        ended = over and episode.terminated
        assert abs(float(batch["reward"][row]) - total) < 1e-5
        assert bool(batch["terminated"][row]) == ended
        assert bool(batch["truncated"][row]) == (over and not episode.terminated)
        assert abs(float(batch["discount"][row]) - (0.0 if ended else GAMMA**taken)) < 1e-6
        assert np.array_equal(batch["obs"][row], states(episode, step, window, pad))
        assert np.array_equal(batch["next_obs"][row], states(episode, step + taken, window, pad))
        assert pad != "skip" or step >= window - 1


def states(episode: Episode, step: int, window: int, pad: Pad) -> np.ndarray:
    if window == 0:
        return episode.obs[step]
    before = episode.obs[0] if pad != "zeros" else np.zeros(3, np.float32)
    every = [episode.obs[at] if at >= 0 else before for at in range(step - window + 1, step + 1)]
    return np.array(every)


def numbers(store: ReplayStore) -> set[int]:
    """The steps that can be drawn."""
    every = np.arange(store.first, store.total)
    index = every[store.sampleable(every)]
    return set(store.column("act", index)[:, 0].tolist()) if len(index) else set()


def small_store(folder: Path, rows: int = 300) -> Path:
    """A store on disk with some segments, closed."""
    with ReplayStore(folder, rows, schema=SCHEMA) as store:
        add_singly(store, episodes(30, seed=3))
    return folder


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "segments").glob("*.seg"))


def layout_of(store: ReplayStore) -> list[Placed]:
    assert store.disk is not None
    return store.disk.layout.placed


def change(path: Path, at: int, data: bytes) -> None:
    whole = bytearray(path.read_bytes())
    whole[at : at + len(data)] = data
    path.write_bytes(bytes(whole))
