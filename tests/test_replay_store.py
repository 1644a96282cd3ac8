"""What comes out of a store is what went in, rebuilt from states that lie there once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.replay.sampling.windows import Pad
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import NothingToSample, ReplayStore
from tests.replay_cases import (
    ADDERS,
    GAMMA,
    SCHEMA,
    Episode,
    add_in_batches,
    add_singly,
    check_batch,
    episodes,
    numbers,
)

WISHES: list[tuple[int, int, Pad]] = [
    (1, 0, "repeat"),
    (3, 0, "repeat"),
    (1, 4, "repeat"),
    (1, 4, "zeros"),
    (2, 3, "skip"),
]


def draw_and_check(store: ReplayStore, made: list[Episode], added: set[int]) -> None:
    for n_step, window, pad in WISHES:
        batch = store.sample(60, n_step=n_step, discount=GAMMA, window=window, pad=pad)
        check_batch(batch, made, n_step, window, pad, added)


@pytest.mark.parametrize("adder", ADDERS)
@pytest.mark.parametrize("capacity", [2000, 64])
def test_a_batch_from_memory_is_what_was_added(adder: str, capacity: int) -> None:
    made = episodes(60, seed=1)
    store = ReplayStore(SCHEMA, capacity, seed=2)
    draw_and_check(store, made, ADDERS[adder](store, made))


@pytest.mark.parametrize("adder", ADDERS)
def test_a_batch_from_disk_is_what_was_added_before_and_after_it_was_closed(
    adder: str, tmp_path: Path
) -> None:
    made = episodes(60, seed=1)
    with ReplayStore(tmp_path / "s", 2000, schema=SCHEMA, seed=2) as store:
        added = ADDERS[adder](store, made)
        draw_and_check(store, made, added)
    with ReplayStore(tmp_path / "s", mode="r") as store:
        assert numbers(store) == added
        draw_and_check(store, made, added)


@pytest.mark.parametrize("adder", ADDERS)
def test_a_batch_of_rows_that_are_not_in_memory_is_the_same(adder: str, tmp_path: Path) -> None:
    made = episodes(300, seed=1)
    memory = 256 * SCHEMA.record_bytes
    with ReplayStore(tmp_path / "s", 1500, schema=SCHEMA, memory=memory) as store:
        added = ADDERS[adder](store, made)
        assert store.ring.resident == 256
        assert len(store) > 800
        draw_and_check(store, made, added)
    assert not any(thread.is_alive() for thread in threads_of_readers())


def test_long_stretches_cross_the_seams_of_the_ring(tmp_path: Path) -> None:
    """Slots begin anew at another row than records do."""
    states = np.arange(3001, dtype=np.float32)[:, None] * np.ones(3, np.float32)
    memory = 256 * SCHEMA.record_bytes
    with ReplayStore(tmp_path / "s", 1030, schema=SCHEMA, memory=memory) as store:
        for start in range(0, 3000, 60):
            part = slice(start, start + 60)
            store.add_batch(
                obs=states[part],
                act=np.arange(start, start + 60)[:, None],
                reward=np.zeros(60, np.float32),
                next_obs=states[1:][part],
            )
        batch = store.sample(200, window=5, pad="skip")
        numbers_drawn = np.asarray(batch["act"])[:, 0]
        assert np.array_equal(np.asarray(batch["obs"])[:, -1, 0], numbers_drawn)
        assert np.array_equal(np.asarray(batch["obs"])[:, 0, 0], numbers_drawn - 4)
        assert np.array_equal(np.asarray(batch["next_obs"])[:, -1, 0], numbers_drawn + 1)
        assert len(store) > 950


def threads_of_readers() -> list[Any]:
    import threading

    return [thread for thread in threading.enumerate() if "aitrade-replay" in thread.name]


@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=12), st.integers(0, 9))
@settings(max_examples=30)
def test_whatever_way_rows_come_in_they_can_be_mixed(ways: list[str], seed: int) -> None:
    """Single rows, batches and commits in any order leave the same transitions."""
    made = episodes(3 * len(ways), seed=seed)
    store = ReplayStore(SCHEMA, 400, seed=seed)
    added: set[int] = set()
    for number, way in enumerate(ways):
        part = made[3 * number : 3 * number + 3]
        if way == "c":
            store.commit()
        added |= (add_singly if way == "a" else add_in_batches)(store, part)
    assert numbers(store) == added
    draw_and_check(store, made, added)


def test_the_state_after_a_truncation_is_the_last_one_and_not_the_next_episodes_first() -> None:
    store = ReplayStore(SCHEMA, 10)
    first, last, reset = np.zeros(3), np.ones(3), np.full(3, 7.0)
    store.add(first, 0, 0.0, last, truncated=True)
    store.add(reset, 1, 0.0, reset + 1)
    batch = store.rows(np.array([0]))
    assert np.asarray(batch["next_obs"]).tolist() == [[1.0, 1.0, 1.0]]
    assert (bool(batch["truncated"][0]), bool(batch["terminated"][0])) == (True, False)
    assert float(batch["discount"][0]) == pytest.approx(0.99)


def test_vector_environments_that_reset_themselves_hand_over_their_final_states() -> None:
    store = ReplayStore(SCHEMA, 20)
    states, after_reset = np.zeros((2, 3), np.float32), np.full((2, 3), 5, np.float32)
    final = np.array([[1, 1, 1], [9, 9, 9]], np.float32)
    store.add_vector(
        obs=states,
        act=np.zeros((2, 1), np.int64),
        reward=np.zeros(2, np.float32),
        next_obs=after_reset,
        truncated=np.array([True, False]),
        final_obs=final,
    )
    batch = store.rows(np.array([0, 1]))
    assert np.asarray(batch["next_obs"]).tolist() == [[1.0] * 3, [5.0] * 3]


def test_a_next_state_that_the_next_row_does_not_begin_with_is_kept() -> None:
    store = ReplayStore(SCHEMA, 10)
    store.add(np.zeros(3), 0, 0.0, np.ones(3))
    store.add(np.full(3, 4.0), 1, 0.0, np.full(3, 5.0))  # a reset that nobody told
    batch = store.rows(np.array([0]), n_step=5)
    assert np.asarray(batch["next_obs"]).tolist() == [[1.0] * 3]
    assert store.column("episode", np.array([0, 2])).tolist() == [0, 1]


def test_without_next_states_a_row_can_be_drawn_once_the_next_one_is_there() -> None:
    store = ReplayStore(SCHEMA, 10)
    store.add(np.zeros(3), 0, 0.0)
    assert not store.sampleable(np.array([0])).any()
    store.add(np.ones(3), 1, 0.0, terminated=True)
    assert store.sampleable(np.array([0, 1])).all()
    store.add(np.ones(3), 2, 0.0, truncated=True)  # nobody knows where that led
    assert store.sampleable(np.array([0, 1, 2])).tolist() == [True, True, False]


def test_each_state_lies_there_once() -> None:
    store = ReplayStore(SCHEMA, 100)
    made = episodes(5, seed=0)
    add_singly(store, made)
    assert store.total == sum(len(episode) + 1 for episode in made)


def test_indices_are_never_given_twice_and_stale_ones_are_told() -> None:
    store = ReplayStore(SCHEMA, 8)
    for number in range(20):
        assert store.add(np.full(3, number), number, 0.0, np.full(3, number + 1.0)) == number
    assert (store.first, store.total, len(store)) == (12, 20, 8)
    assert store.sampleable(np.array([11, 12, 19, 20])).tolist() == [False, True, True, False]
    with pytest.raises(NothingToSample, match="row 11 cannot be drawn"):
        store.rows(np.array([12, 11]))


NESTED = Schema(
    (
        Field("obs.position", "float32", (2,)),
        Field("obs.image", "uint8", (4, 4)),
        Field("act", "int64"),
        Field("reward", "float32"),
    )
)


def test_dict_and_tuple_observations_come_back_as_they_were() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    store = ReplayStore(NESTED, 10)
    store.add(
        {"position": np.zeros(2), "image": image}, 1, 0.5, {"position": np.ones(2), "image": image}
    )
    drawn = store.sample(4)
    assert np.asarray(drawn.nested("next_obs")["position"]).tolist() == [[1.0, 1.0]] * 4
    assert np.array_equal(drawn["obs.image"][0], image)
    pair = Schema.of({"obs": (np.zeros(2, np.float32), np.zeros(1, np.int64)), "act": 1})
    assert pair.names == ("obs.0", "obs.1", "act")
    both = ReplayStore(pair, 10)
    both.add((np.zeros(2), np.array([3])), 1, 0.0, (np.ones(2), np.array([4])))
    assert isinstance(both.sample(2).nested("obs"), tuple)


def test_a_schema_with_next_obs_keeps_both_and_needs_no_rows_between() -> None:
    schema = Schema((*SCHEMA.fields, Field("next_obs", "float32", (3,))))
    store = ReplayStore(schema, 50)
    made = episodes(6, seed=4)
    add_singly(store, made[:3])
    add_in_batches(store, made[3:])
    assert store.total == len(store) == sum(map(len, made))
    batch = store.sample(40, discount=GAMMA)
    check_batch(batch, made, 1, 0, "repeat", numbers(store))
    with pytest.raises(Usage, match="hold their own `next_obs`"):
        store.sample(4, n_step=3)


def test_a_batch_is_views_of_one_block() -> None:
    store = ReplayStore(SCHEMA, 50)
    add_singly(store, episodes(5, seed=0))
    batch = store.sample(16)
    assert np.shares_memory(batch["obs"], np.asarray(batch["obs"]).base)
    assert all(not np.asarray(batch[name]).flags.owndata for name in ("obs", "act", "next_obs"))


def test_tensors_share_the_memory_of_the_batch() -> None:
    store = ReplayStore(SCHEMA, 50, seed=1)
    made = episodes(5, seed=0)
    added = add_singly(store, made)
    batch = store.sample(16, device="cpu", discount=GAMMA)
    obs = batch["obs"]
    assert isinstance(obs, torch.Tensor)
    assert not obs.is_contiguous()  # a view of records
    check_batch(batch, made, 1, 0, "repeat", added)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_batch_goes_to_the_device_from_page_locked_memory() -> None:
    store = ReplayStore(SCHEMA, 50, seed=1)
    made = episodes(5, seed=0)
    added = add_singly(store, made)
    batch = store.sample(16, device="cuda", discount=GAMMA)
    assert isinstance(batch["obs"], torch.Tensor)
    on_host = {name: np.asarray(torch.as_tensor(batch[name]).cpu()) for name in batch}
    check_batch(type(batch)(on_host, batch.indices), made, 1, 0, "repeat", added)


def test_the_same_seed_draws_the_same_batches() -> None:
    drawn = []
    for _ in range(2):
        store = ReplayStore(SCHEMA, 100, seed=5)
        add_singly(store, episodes(9, seed=0))
        drawn.append(store.sample(32).indices)
    assert np.array_equal(*drawn)
