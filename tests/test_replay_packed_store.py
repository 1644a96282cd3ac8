"""A store that packs its older rows in memory serves what one that does not serves."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.replay.packing.older_rows import RAW_ROWS
from aitrade_cli.replay.ring import SPARE
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore
from tests.replay_frames import frames, noise

SIDE = 12
CAPACITY = 3 * RAW_ROWS
SCHEMA = Schema(
    (Field("obs", "uint8", (SIDE, SIDE)), Field("act", "int64"), Field("reward", "float32"))
)
SOURCE = frames(4001, side=SIDE).reshape(-1, SIDE, SIDE)
UNPACKABLE = noise(4001, SIDE * SIDE).reshape(-1, SIDE, SIDE)


def both(warm: int | None = None) -> tuple[ReplayStore, ReplayStore]:
    return (
        ReplayStore(SCHEMA, CAPACITY, seed=5),
        ReplayStore(SCHEMA, CAPACITY, seed=5, packed=True, warm_rows=warm),
    )


def fill(store: ReplayStore, source: np.ndarray, start: int, stop: int, *, ends: int = 97) -> None:
    """Rows that name themselves by their action; an episode ends now and then."""
    number = np.arange(start, stop)
    store.add_batch(
        obs=source[start:stop],
        act=number,
        reward=(number % 13).astype(np.float32),
        next_obs=source[start + 1 : stop + 1],
        terminated=number % ends == ends - 1,
        truncated=number % 61 == 60,
    )


def assert_alike(plain: ReplayStore, packed: ReplayStore, **wish: object) -> None:
    for _ in range(3):
        one, other = plain.sample(200, **wish), packed.sample(200, **wish)  # type: ignore[arg-type]
        assert np.array_equal(one.indices, other.indices)
        for name in one:
            assert np.array_equal(one[name], other[name]), name


@pytest.mark.parametrize("source", [SOURCE, UNPACKABLE], ids=["frames", "noise"])
@pytest.mark.parametrize("warm", [None, 0, RAW_ROWS])
def test_the_same_batches_come_out(source: np.ndarray, warm: int | None) -> None:
    plain, packed = both(warm)
    for start in range(0, 4000, 500):
        fill(plain, source, start, start + 500)
        fill(packed, source, start, start + 500)
        assert_alike(plain, packed, window=4)
    assert_alike(plain, packed, n_step=3, window=2, pad="zeros")
    assert_alike(plain, packed, n_step=5)


def test_rows_are_those_that_were_added_not_only_those_of_another_store() -> None:
    _, packed = both()
    fill(packed, SOURCE, 0, 4000)
    batch = packed.sample(500)
    number = np.asarray(batch["act"])
    assert np.array_equal(batch["obs"], SOURCE[number])
    assert np.array_equal(batch["next_obs"], SOURCE[number + 1])
    assert np.array_equal(batch["reward"], (number % 13).astype(np.float32))
    old = batch.indices < packed.total - RAW_ROWS
    assert old.any()
    assert (~old).any()


@given(
    st.lists(
        st.tuples(st.sampled_from(["one", "many", "vector", "end"]), st.integers(1, 400)),
        min_size=4,
        max_size=14,
    )
)
@settings(max_examples=25)
def test_however_rows_come(steps: list[tuple[str, int]]) -> None:
    plain, packed = both()
    at = 0
    for kind, size in steps:
        for store in (plain, packed):
            add_some(store, kind, at, size)
        at = (at + size) % 3000
    assert plain.total == packed.total
    live = np.arange(plain.first, plain.total)
    usable = live[plain.sampleable(live)]
    assert np.array_equal(usable, live[packed.sampleable(live)])
    for name in ("obs", "act", "reward", "episode", "step", "env"):
        assert np.array_equal(plain.column(name, live), packed.column(name, live)), name
    if len(usable):
        one, other = plain.rows(usable, n_step=2), packed.rows(usable, n_step=2)
        for name in one:
            assert np.array_equal(one[name], other[name]), name


def add_some(store: ReplayStore, kind: str, at: int, size: int) -> None:
    if kind == "one":
        for k in range(at, at + size):
            end = k % 50 == 49
            store.add(SOURCE[k], k, 1.0, SOURCE[k + 1], terminated=end, env=k % 3)
    elif kind == "many":
        fill(store, SOURCE, at, at + size)
    elif kind == "vector":
        envs = np.arange(1 + size % 60)
        for k in range(at, at + size, 20):
            store.add_vector(
                obs=SOURCE[k + envs],
                act=k + envs,
                reward=np.ones(len(envs), np.float32),
                next_obs=SOURCE[k + 1 + envs],
                terminated=envs == k % 60,
            )
    else:
        store.end_episode(env=size % 3)


def test_priorities_are_followed_as_without_packing() -> None:
    plain, packed = (
        ReplayStore(SCHEMA, CAPACITY, sampler=Proportional(0.6), packed=how, seed=3)
        for how in (False, True)
    )
    for store in (plain, packed):
        fill(store, SOURCE, 0, 3000)
        batch = store.sample(200, window=4)
        store.update_priorities(batch.indices, np.arange(1.0, 201.0))
    assert_alike(plain, packed, window=4)


def test_the_memory_that_is_told_is_what_is_taken() -> None:
    source = frames(6001, side=48).reshape(-1, 48, 48)
    schema = Schema((Field("obs", "uint8", (48, 48)), Field("act", "int64")))
    warm = ReplayStore(schema, 1000, packed=True)  # whatever the first one loads
    warm.add_batch(obs=source[:1000], act=np.arange(1000), next_obs=source[1:1001])
    tracemalloc.start()
    store = ReplayStore(schema, 6000, packed=True)
    store.add_batch(obs=source[:-1], act=np.arange(6000), next_obs=source[1:])
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    taken -= SPARE * schema.record_bytes  # of the system's zero pages, hardly any is touched
    assert 0.95 * taken <= store.bytes <= 1.05 * taken
    assert store.bytes < 0.1 * 8 * 6000 * 48 * 48
    told = store.packing()
    assert told is not None
    assert told.ratio > 20
    assert set(told.codecs) == {"patch"}


def test_few_rows_stay_as_they_are() -> None:
    store = ReplayStore(SCHEMA, 300, packed=True)
    fill(store, SOURCE, 0, 1000)
    batch = store.sample(100)
    assert np.array_equal(batch["obs"], SOURCE[batch["act"]])
    told = store.packing()
    assert told is not None
    assert told.rows == 0
    assert ReplayStore(SCHEMA, 300).packing() is None


def test_what_cannot_be_packed_in_memory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="store in memory"):
        ReplayStore(tmp_path / "store", 1000, schema=SCHEMA, packed=True)
    assert not (tmp_path / "store").exists()
    with pytest.raises(Usage, match="warm_rows"):
        ReplayStore(SCHEMA, 1000, packed=True, warm_rows=-1)
    with pytest.raises(Usage, match="packed store"):
        ReplayStore(SCHEMA, 1000, warm_rows=100)
    store = ReplayStore(SCHEMA, 100_000, packed=True)
    store.add_vector(**steps_of(RAW_ROWS // 4))
    with pytest.raises(Usage, match="258 rows at once"):
        store.add_vector(**steps_of(RAW_ROWS // 4 + 1))
    assert store.total == RAW_ROWS // 4


def steps_of(environments: int) -> dict[str, np.ndarray]:
    return {
        "obs": SOURCE[:environments],
        "act": np.arange(environments),
        "reward": np.zeros(environments, np.float32),
    }
