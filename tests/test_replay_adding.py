"""Many rows at once leave the same ring as the same rows one by one, to the last byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.replay.adding.sequences import Sequences
from aitrade_cli.replay.adding.singly import Adder
from aitrade_cli.replay.ring import Ring, put_last_states
from aitrade_cli.replay.schema import Field, Schema, SchemaMismatch
from aitrade_cli.replay.store import ReplayStore

PLAIN = Schema((Field("obs", "float32", (3,)), Field("act", "int64"), Field("reward", "float32")))
PARTS = Schema(
    (
        Field("reward", "float64"),
        Field("obs.near", "uint8", (5,)),
        Field("act", "int16", (2,)),
        Field("obs.far", "float32", (2, 2)),
    )
)
OWN_NEXT = Schema((*PLAIN.fields, Field("next_obs", "float32", (3,))))
SCHEMAS = {"plain": PLAIN, "parts": PARTS, "own next": OWN_NEXT}
MOST = 12  # rows of a batch: a quarter of the smallest ring


@st.composite
def stretches(draw: st.DrawFn) -> dict[str, Any]:
    """Some rows of an environment: states out of few, so that they happen to be alike."""
    count = draw(st.integers(1, MOST))
    states = draw(st.lists(st.integers(0, 2), min_size=count + 1, max_size=count + 1))
    return {
        "env": draw(st.integers(0, 1)),
        "states": states,
        "odd": draw(st.sets(st.integers(0, count - 1), max_size=2)),  # next states of their own
        "told": draw(st.booleans()),
        "ends": draw(st.lists(st.sampled_from("....tu"), min_size=count, max_size=count)),
        "commit": draw(st.integers(0, 3)) == 0,
    }


def rows_of(schema: Schema, number: int, stretch: Mapping[str, Any]) -> dict[str, Any]:
    """A stretch as arrays by flat field name."""
    states = np.array(stretch["states"])
    after = states[1:].copy()
    after[list(stretch["odd"])] = 7
    rng = np.random.default_rng(number)
    made: dict[str, np.ndarray] = {}
    for field in schema.fields:
        ones = np.ones((1, *field.shape))
        values = {"obs": states[:-1], "next": after}.get(field.name.split(".")[0].split("_")[0])
        if values is None:
            values = rng.integers(0, 100, len(after))
        made[field.name] = (values.reshape(-1, *[1] * len(field.shape)) * ones).astype(field.dtype)
        if field.is_state and stretch["told"] and not schema.stores_next:
            told = after.reshape(-1, *[1] * len(field.shape)) * ones
            made[f"next_{field.name}"] = told.astype(field.dtype)
    made["terminated"] = np.array([end == "t" for end in stretch["ends"]])
    made["truncated"] = np.array([end == "u" for end in stretch["ends"]])
    return made


def nested(flat: Mapping[str, Any], name: str) -> object:
    """``obs.near`` and ``obs.far`` as the dict that `add` takes."""
    if name in flat:
        return flat[name]
    parts = {key.split(".")[1]: value for key, value in flat.items() if key.startswith(f"{name}.")}
    return parts or None


def add_one_by_one(ring: Ring, rows: Mapping[str, np.ndarray], env: int) -> None:
    adder = Adder(ring)
    for row in range(len(rows["act"])):
        one = {name: array[row] for name, array in rows.items()}
        ends = bool(one["terminated"]), bool(one["truncated"])
        after = nested(one, "next_obs")
        adder.add(nested(one, "obs"), one["act"], one["reward"], after, *ends, env, {})


def same(one: Ring, other: Ring) -> None:
    """Everything that a later draw, addition or commit looks at."""
    for name in ("total", "unusable", "next_episode", "last", "episode", "step", "awaited"):
        assert getattr(one, name) == getattr(other, name), name
    assert np.array_equal(one.words, other.words)
    assert np.array_equal(one.columns, other.columns)
    assert np.array_equal(one.records[: one.resident], other.records[: one.resident])
    for env, awaited in enumerate(one.awaited):
        if awaited:
            assert np.array_equal(one.records[one.spare(env)], other.records[other.spare(env)])
    if one.rewards is not None and other.rewards is not None:
        assert np.array_equal(one.rewards, other.rewards)


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("resident", [None, 48])
@given(parts=st.lists(stretches(), min_size=1, max_size=12))
@settings(max_examples=30)
def test_a_batch_leaves_what_its_rows_leave_one_by_one(
    kind: str, resident: int | None, parts: list[dict[str, Any]]
) -> None:
    schema = SCHEMAS[kind]
    singly, together = Ring(schema, 61, resident), Ring(schema, 61, resident)
    sequences = Sequences(together)
    for number, stretch in enumerate(parts):
        rows, env = rows_of(schema, number, stretch), stretch["env"]
        add_one_by_one(singly, rows, env)
        sequences.add(sequences.fit(rows), env)
        if stretch["commit"]:
            for ring in (singly, together):
                put_last_states(ring, np.arange(len(ring.last)))
        same(singly, together)


def test_the_comparison_would_notice_a_bit() -> None:
    one, other = Ring(PLAIN, 8), Ring(PLAIN, 8)
    other.records[3, 2] ^= 1
    with pytest.raises(AssertionError):
        same(one, other)


def given_as(rows: dict[str, np.ndarray], form: str) -> dict[str, Any]:
    if form == "lists":
        return {name: array.tolist() for name, array in rows.items()}
    if form == "strided":
        return {name: np.repeat(array, 2, axis=0)[::2] for name, array in rows.items()}
    if form == "transposed":
        return {name: np.asfortranarray(array) for name, array in rows.items()}
    if form == "wider":
        return {**rows, "obs": rows["obs"].astype(np.float64)}
    for array in rows.values():
        array.flags.writeable = False
    return rows


@pytest.mark.parametrize("form", ["lists", "strided", "transposed", "wider", "read only"])
def test_it_does_not_matter_how_the_arrays_lie(form: str) -> None:
    stretch = {"states": [0, 1, 2, 1], "odd": {1}, "told": True, "ends": "..t"}
    plain, other = Ring(PLAIN, 20), Ring(PLAIN, 20)
    for ring, change in ((plain, dict), (other, lambda rows: given_as(rows, form))):
        sequences = Sequences(ring)
        sequences.add(sequences.fit(change(rows_of(PLAIN, 0, stretch))), 0)
    same(plain, other)


@pytest.mark.parametrize(
    "change",
    [
        {"act": np.zeros(4, np.int64)},
        {"obs": np.zeros((3, 4), np.float32)},
        {"more": np.zeros(3)},
        {"terminated": np.zeros(2, np.bool_)},
        {"next_obs": np.zeros((2, 3), np.float32)},
        {"reward": None},
    ],
)
def test_rows_that_do_not_fit_leave_no_trace(change: dict[str, Any]) -> None:
    stretch = {"states": [0, 1, 2, 1], "odd": (), "told": True, "ends": "..t"}
    rows = rows_of(PLAIN, 0, stretch) | change
    store = ReplayStore(PLAIN, 20)
    with pytest.raises(SchemaMismatch):
        store.add_batch(**{name: value for name, value in rows.items() if value is not None})
    same(store.ring, Ring(PLAIN, 20))


@pytest.mark.parametrize("kind", SCHEMAS)
@given(parts=st.lists(stretches(), min_size=3, max_size=9), seed=st.integers(0, 9))
@settings(max_examples=30)
def test_a_quick_batch_is_the_one_that_is_built_with_care(
    kind: str, parts: list[dict[str, Any]], seed: int
) -> None:
    """`sample` gathers single steps in one loop, `rows` in the general way."""
    store = ReplayStore(SCHEMAS[kind], 61, seed=seed)
    for number, stretch in enumerate(parts):
        rows: dict[str, Any] = rows_of(store.schema, number, stretch | {"told": True})
        store.add_batch(env=stretch["env"], **rows)
    alike(store)


def test_the_newest_state_is_served_while_a_bounded_memory_still_holds_all(tmp_path: Path) -> None:
    with ReplayStore(tmp_path / "s", 2000, schema=PLAIN, memory=256 * PLAIN.record_bytes) as store:
        for number in range(10):
            state = np.full(3, number, np.float32)
            store.add(state, number, 0.0, state + 1)
        alike(store)
        batch = store.rows(np.arange(10))
        assert np.asarray(batch["next_obs"])[:, 0].tolist() == list(range(1, 11))


def alike(store: ReplayStore) -> None:
    batch = store.sample(64)
    careful = store.rows(batch.indices)
    assert list(batch) == list(careful)
    for name in batch:
        assert batch[name].dtype == careful[name].dtype
        assert np.array_equal(batch[name], careful[name]), name


def test_a_row_that_holds_its_next_state_holds_the_true_last_one() -> None:
    store = ReplayStore(OWN_NEXT, 20)
    store.add_vector(
        obs=np.zeros((2, 3), np.float32),
        act=np.arange(2),
        reward=np.zeros(2, np.float32),
        next_obs=np.full((2, 3), 5, np.float32),  # of environment 0 after its reset
        truncated=np.array([True, False]),
        final_obs=np.full((2, 3), 9, np.float32),
    )
    assert np.asarray(store.rows(np.arange(2))["next_obs"])[:, 0].tolist() == [9, 5]
