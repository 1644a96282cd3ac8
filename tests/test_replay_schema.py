"""What fits into a record and what does not, and what the store says of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.replay.ring import TooManyEnvironments
from aitrade_cli.replay.sampling.drawing import NothingToSample
from aitrade_cli.replay.schema import BadSchema, Field, Schema, SchemaMismatch
from aitrade_cli.replay.store import OnlyReading, ReplayStore
from tests.replay_cases import SCHEMA, add_singly, episodes


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"obs": np.zeros(4)}, "`obs` has the shape"),
        ({"obs": np.zeros((2, 2))}, "`obs` has the shape"),
        ({"act": 0.5}, "`act` is float64, the store keeps int64"),
        ({"log_prob": 1.0}, "given are `log_prob` further fields"),
    ],
)
def test_what_does_not_fit_is_refused(fields: dict[str, Any], said: str) -> None:
    store = ReplayStore(SCHEMA, 10)
    with pytest.raises(SchemaMismatch, match=said):
        store.add(**({"obs": np.zeros(3), "act": 1, "reward": 0.0} | fields))


def test_a_batch_that_does_not_fit_leaves_nothing() -> None:
    store = ReplayStore(SCHEMA, 10)
    good = {"obs": np.zeros((2, 3)), "act": np.zeros((2, 1), int), "reward": np.zeros(2)}
    for wrong in ({"obs": np.zeros((2, 4))}, {"nothing": np.zeros(2)}, {"reward": np.zeros(3)}):
        with pytest.raises(SchemaMismatch):
            store.add_batch(env=0, **(good | wrong))
    with pytest.raises(SchemaMismatch, match="`reward` was not given"):
        store.add_batch(obs=np.zeros((2, 3)), act=np.zeros((2, 1), int))
    assert store.total == 0


def test_an_empty_store_says_so() -> None:
    with pytest.raises(NothingToSample, match="no transition"):
        ReplayStore(SCHEMA, 10).sample(1)


def test_a_window_that_no_episode_is_long_enough_for_says_so() -> None:
    store = ReplayStore(SCHEMA, 100)
    add_singly(store, episodes(9, seed=0, longest=4))
    with pytest.raises(NothingToSample, match="hardly any row"):
        store.sample(4, window=9, pad="skip")


def test_a_reader_cannot_add(tmp_path: Path) -> None:
    ReplayStore(tmp_path / "s", 10, schema=SCHEMA).close()
    with (
        ReplayStore(tmp_path / "s", mode="r") as store,
        pytest.raises(OnlyReading),
    ):
        store.add(np.zeros(3), 1, 0.0)


def test_limits_are_told() -> None:
    with pytest.raises(Usage, match="capacity"):
        ReplayStore(SCHEMA)
    with pytest.raises(TooManyEnvironments):
        ReplayStore(SCHEMA, 10).add(np.zeros(3), 1, 0.0, env=5000)
    with pytest.raises(Usage, match="twice as many rows"):
        ReplayStore(SCHEMA, 4).add_vector(
            obs=np.zeros((3, 3)), act=np.zeros((3, 1), int), reward=np.zeros(3)
        )


@pytest.mark.parametrize(
    ("name", "dtype", "shape"),
    [
        ("Obs", "float32", ()),
        ("obs", "object", ()),
        ("obs", "float32", (0,)),
        ("weights", "int8", ()),
    ],
)
def test_a_field_that_no_record_can_hold_is_refused(
    name: str, dtype: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(BadSchema):
        Field(name, dtype, shape)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["bool", "int8", "uint16", "float32", "int64", "float64"]),
            st.lists(st.integers(1, 4), max_size=3),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_fields_are_aligned_and_a_schema_survives_json(parts: list[tuple[str, list[int]]]) -> None:
    fields = [
        Field("obs" if not at else f"f{at}", dtype, tuple(shape))
        for at, (dtype, shape) in enumerate(parts)
    ]
    schema = Schema(tuple(fields))
    assert schema.record_bytes % 8 == 0
    for field in fields:
        assert schema.offset(field.name) % np.dtype(field.dtype).itemsize == 0
    assert sum(field.bytes for field in fields) + 4 <= schema.record_bytes
    assert Schema.from_json(schema.to_json()) == schema
