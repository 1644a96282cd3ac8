"""What does not fit is refused and leaves no trace, in a full ring least of all."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.ring import NoEnvironment, Ring
from aitrade_cli.replay.schema import Field, Schema, SchemaMismatch
from aitrade_cli.replay.store import ReplayStore

FIELDS = (
    Field("obs", "float32", (2,)),
    Field("act", "int64"),
    Field("reward", "float32"),
    Field("log_prob", "float32"),
)
SCHEMAS = {
    "rebuilt": Schema(FIELDS),
    "own next": Schema((*FIELDS, Field("next_obs", "float32", (2,)))),
    "parts": Schema((Field("obs.a", "float32", (2,)), Field("obs.b", "uint8"), *FIELDS[1:])),
    "whole rewards": Schema((*FIELDS[:2], Field("reward", "int32"), FIELDS[3])),
}
CAPACITY = 7


def state(kind: str, value: float) -> Any:
    made = np.full(2, value, np.float32)
    return {"a": made, "b": np.uint8(value)} if kind == "parts" else made


def row(kind: str, number: int) -> dict[str, Any]:
    """Transition ``number`` of an episode without end."""
    return {
        "obs": state(kind, number),
        "act": number,
        "reward": number if kind == "whole rewards" else float(number),
        "next_obs": state(kind, number + 1),
        "log_prob": np.float32(-number),
    }


def rows(kind: str, start: int, count: int) -> dict[str, Any]:
    every = [row(kind, start + k) for k in range(count)]
    made: dict[str, Any] = {name: np.array([one[name] for one in every]) for name in every[0]}
    if kind == "parts":
        for name in ("obs", "next_obs"):
            made[name] = {part: np.array([one[name][part] for one in every]) for part in ("a", "b")}
    return made


def full(kind: str) -> ReplayStore:
    """Evicted rows already, and the episode is open."""
    store = ReplayStore(SCHEMAS[kind], CAPACITY)
    for number in range(11):
        store.add(**row(kind, number))
    return store


def trace(ring: Ring) -> tuple[Any, ...]:
    return (
        ring.records[: ring.resident + 9].tobytes(),
        ring.columns.tobytes(),
        ring.words.tobytes(),
        (ring.total, ring.unusable, ring.next_episode),
        (list(ring.last), list(ring.episode), list(ring.step)),
        (list(ring.awaited), list(ring.newest)),
    )


BAD: dict[str, Any] = {
    "another shape": np.zeros((3, 5), np.float32),
    "a word": "x",
    "nothing": None,
    "ragged": [[1.0, 2.0], [3.0]],
    "an object": object(),
    "too large": 1e300,
}


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("number", [11, 50], ids=["goes on", "begins anew"])
def test_a_row_with_one_bad_field_changes_no_byte_of_a_full_ring(kind: str, number: int) -> None:
    store = full(kind)
    before = trace(store.ring)
    for name, bad in itertools.product(("obs", "act", "reward", "log_prob", "next_obs"), BAD):
        given: dict[str, Any] = row(kind, number) | {name: BAD[bad]}
        if name == "next_obs" and bad == "nothing":
            del given["log_prob"]  # no next state is no fault, a missing field is
        with pytest.raises(SchemaMismatch):
            store.add(**given)
        assert trace(store.ring) == before, (name, bad)


REFUSED: list[dict[str, Any]] = [
    {"more": 1.0},
    {"terminated": np.array([True, False])},
    {"truncated": np.array([True, False])},
    {"env": -1},
    {"env": 4000},
    {"obs": {"a": np.zeros(2, np.float32)}},
    {"obs": np.zeros(2, np.complex64)},
    {"act": 0.5},
    {"act": 2**70},
    {"reward": 1e39},
]


@pytest.mark.parametrize("kind", SCHEMAS)
def test_nor_does_any_other_row_that_is_refused(kind: str) -> None:
    store = full(kind)
    before = trace(store.ring)
    for change in REFUSED:
        with pytest.raises(BadInput):
            store.add(**row(kind, 50) | change)
        assert trace(store.ring) == before, change


@pytest.mark.parametrize("kind", SCHEMAS)
@pytest.mark.parametrize("how", ["batch", "vector"])
def test_nor_do_many_rows_of_which_one_field_is_bad(kind: str, how: str) -> None:
    store = full(kind)
    before = trace(store.ring)
    names = ("obs", "act", "reward", "log_prob", "next_obs", "terminated")
    for name, bad in itertools.product(names, BAD):
        given: dict[str, Any] = rows(kind, 50, 2) | {name: BAD[bad]}
        if name in {"next_obs", "terminated"} and bad == "nothing":
            del given["log_prob"]
        if name == "terminated" and bad == "too large":
            given[name] = [1e300] * 3
        with pytest.raises(SchemaMismatch):
            getattr(store, f"add_{how}")(**given)
        assert trace(store.ring) == before, (name, bad)


def test_nor_do_last_states_that_do_not_fit() -> None:
    store = full("rebuilt")
    before = trace(store.ring)
    given, ends = rows("rebuilt", 50, 2), np.array([True, False])
    for bad, value in BAD.items():
        last = {} if bad == "nothing" else value
        with pytest.raises(SchemaMismatch):
            store.add_vector(**given, terminated=ends, final_obs=last)
        assert trace(store.ring) == before, bad


def test_a_comparison_of_traces_would_notice_one_bit() -> None:
    store = full("rebuilt")
    before = trace(store.ring)
    store.ring.records[3, 2] ^= 1
    assert trace(store.ring) != before


def test_an_environment_below_0_is_refused_by_a_batch_too() -> None:
    store = full("rebuilt")
    before = trace(store.ring)
    with pytest.raises(NoEnvironment, match="count from 0, got `-1`"):
        store.add_batch(env=-1, **rows("rebuilt", 50, 1))
    assert trace(store.ring) == before


def test_no_rows_are_no_fault() -> None:
    store = full("rebuilt")
    before = trace(store.ring)
    nothing = {name: value[:0] for name, value in rows("rebuilt", 0, 1).items()}
    store.add_vector(**nothing)
    store.add_batch(**nothing)
    assert trace(store.ring) == before


@pytest.mark.parametrize(
    ("dtype", "given", "kept"),
    [
        ("float32", 0.1, np.float32(0.1)),
        ("float32", np.float64(0.1), np.float32(0.1)),
        ("float32", np.array([2.0]), 2.0),
        ("float32", 3, 3.0),
        ("float32", True, 1.0),
        ("float32", float("inf"), np.inf),
        ("float16", 65504.0, 65504.0),
        ("int32", 3.0, 3),
        ("int32", np.int64(-3), -3),
        ("bool", True, True),
    ],
)
def test_a_reward_is_kept_where_its_field_can_hold_it(dtype: str, given: Any, kept: Any) -> None:
    store = ReplayStore(Schema((FIELDS[0], Field("reward", dtype))), 5)
    store.add(state("", 0), None, given, state("", 1))
    assert store.sample(1)["reward"][0] == kept


@pytest.mark.parametrize(
    ("dtype", "given"),
    [("int32", 0.75), ("int8", 128), ("uint8", -1), ("float16", 65536.0), ("bool", 2)],
)
def test_a_reward_that_its_field_cannot_hold_is_refused_without_a_warning(
    dtype: str, given: Any
) -> None:
    store = ReplayStore(Schema((FIELDS[0], Field("reward", dtype))), 5)
    with pytest.raises(SchemaMismatch):  # warnings are errors in all tests
        store.add(state("", 0), None, given, state("", 1))
    assert store.total == 0


def test_the_rewards_of_rows_on_disk_are_kept_too(tmp_path: Path) -> None:
    schema = SCHEMAS["rebuilt"]
    with ReplayStore(
        tmp_path / "s", 1000, schema=schema, memory=256 * schema.record_bytes
    ) as store:
        for number in range(4):
            store.add(**row("rebuilt", number))
        assert store.ring.rewards is not None
        before = store.ring.rewards.tobytes()
        given: dict[str, Any] = row("rebuilt", 4) | {"log_prob": "x"}
        with pytest.raises(SchemaMismatch):
            store.add(**given)
        assert store.ring.rewards.tobytes() == before
