"""Records come from their offsets to their places, and one that is cut off is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.replay.disk.compacting import compact_as
from aitrade_cli.replay.disk.reading_kernels import WHOLE, ask_for_records, read_records
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.packing.codecs import codec_named
from aitrade_cli.replay.sampling.importance import Annealing
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import change, layout_of
from tests.replay_frames import frames

LENGTH = 40


@pytest.fixture
def records() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, LENGTH)).astype(np.uint8)


@pytest.fixture
def descriptor(records: np.ndarray, tmp_path: Path) -> Iterator[int]:
    path = tmp_path / "segment"
    path.write_bytes(records.tobytes())
    opened = os.open(path, os.O_RDONLY)
    yield opened
    os.close(opened)


def read(descriptor: int, rows: list[int], places: list[int]) -> tuple[int, np.ndarray]:
    offsets = np.array(rows, np.int64) * LENGTH
    descriptors = np.full(len(rows), descriptor, np.int32)
    out = np.zeros((8, LENGTH), np.uint8)
    ask_for_records(descriptors, offsets, LENGTH)
    return read_records(descriptors, offsets, np.array(places, np.int64), out), out


def test_each_record_goes_to_its_place(descriptor: int, records: np.ndarray) -> None:
    code, out = read(descriptor, [5, 0, 3], [1, 7, 2])
    assert code == WHOLE
    np.testing.assert_array_equal(out[[1, 7, 2]], records[[5, 0, 3]])
    assert not out[[0, 3, 4, 5, 6]].any()


def test_the_first_record_that_is_cut_off_is_told(descriptor: int, tmp_path: Path) -> None:
    os.truncate(tmp_path / "segment", 5 * LENGTH - 1)
    assert read(descriptor, [0, 3, 4, 1], [0, 1, 2, 3])[0] == 2


def test_a_file_that_is_not_open_is_told() -> None:
    assert read(-1, [0], [0])[0] == 0


WALK = Schema((Field("obs", "float32", (2,)), Field("act", "int64"), Field("reward", "float32")))


@pytest.mark.parametrize("codec", ["raw", "zstd", "columns"])
def test_one_damaged_block_does_not_end_a_learner(codec: str, tmp_path: Path) -> None:
    folder = tmp_path / "s"
    states = np.arange(6001, dtype=np.float32)[:, None].repeat(2, 1)
    with ReplayStore(folder, 6010, schema=WALK) as store:
        numbers, zeros = np.arange(6000), np.zeros(6000, np.float32)
        store.add_batch(obs=states[:-1], act=numbers, reward=zeros, next_obs=states[1:])
    compact_as(folder, codec)
    with ReplayStore(folder, memory=256 * WALK.record_bytes, mode="r", prefetch=1) as store:
        placed = layout_of(store)[3]
        header = placed.found.header
        at = placed.found.offset + header.payload_at
        change(placed.path, at, b"\xaa" * header.payload_bytes)
        for _ in range(60):  # each meets some of the 256 rows, until all are known
            batch = store.sample(256)
            assert np.array_equal(batch["next_obs"], np.asarray(batch["obs"]) + 1)
            windows = store.sample(32, window=8, pad="skip")
            assert (np.diff(np.asarray(windows["obs"])[:, :, 0]) == 1).all()
        damaged = set(range(header.first, header.end))
        assert store._ahead.torn <= damaged
        assert len(store._ahead.torn) > (0.6 if codec == "raw" else 0.99) * len(damaged)
        assert len(store) == 6000 - len(store._ahead.torn)
    assert verify(folder).rows_lost == header.count


def test_weights_are_of_one_batch_where_damaged_rows_were_drawn_again(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    states = np.arange(6001, dtype=np.float32)[:, None].repeat(2, 1)
    numbers = np.arange(6000)
    with ReplayStore(folder, 6010, schema=WALK, sampler=Proportional(0.6, epsilon=0.0)) as store:
        zeros = np.zeros(6000, np.float32)
        store.add_batch(obs=states[:-1], act=numbers, reward=zeros, next_obs=states[1:])
        every = np.arange(store.total)  # a commit gives rows numbers of their own
        store.update_priorities(every, 1.0 + every % 7)
    sampler = Proportional(0.6, Annealing(0.5, 0.5), epsilon=0.0)
    few = 256 * WALK.record_bytes
    with ReplayStore(folder, memory=few, mode="r", sampler=sampler, prefetch=2) as store:
        placed = layout_of(store)[3]
        header = placed.found.header
        at = placed.found.offset + header.payload_at
        change(placed.path, at, b"\xaa" * header.payload_bytes)
        again = 0
        for _ in range(60):
            lost = len(store._ahead.torn)
            batch = store.sample(64)
            again += len(store._ahead.torn) > lost
            number = np.asarray(batch["act"])
            np.testing.assert_array_equal(np.asarray(batch["obs"])[:, 0], number)
            assert batch.weights is not None
            # Schaul et al. 2016: (N P)^-beta over the largest of the batch, P as p^alpha
            expected = (1.0 + batch.indices % 7) ** (-0.6 * 0.5)
            np.testing.assert_allclose(batch.weights, expected / expected.max(), rtol=1e-5)
        assert again > 5


@pytest.mark.parametrize("codec", ["zstd", "lz4", "patch"])
def test_several_batches_are_unpacked_at_once(codec: str, tmp_path: Path) -> None:
    source = frames(3001, side=16)
    schema = Schema((Field("obs", "uint8", (256,)), Field("act", "int64")))
    with ReplayStore(tmp_path / "s", 3100, schema=schema, codec=codec_named(codec)) as store:
        store.add_batch(obs=source[:-1], act=np.arange(3000), next_obs=source[1:])
    few = 256 * schema.record_bytes
    with ReplayStore(tmp_path / "s", memory=few, mode="r", prefetch=6) as store:
        for _ in range(150):
            batch = store.sample(16)
            number = np.asarray(batch["act"])
            np.testing.assert_array_equal(batch["obs"], source[number])
            np.testing.assert_array_equal(batch["next_obs"], source[number + 1])


def test_a_window_over_a_damaged_row_is_not_served(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    states = np.arange(301, dtype=np.float32)[:, None].repeat(2, 1)
    with ReplayStore(folder, 400, schema=WALK) as store:
        numbers, zeros = np.arange(300), np.zeros(300, np.float32)
        store.add_batch(obs=states[:-1], act=numbers, reward=zeros, next_obs=states[1:])
        placed = layout_of(store)[3]
        number = int(store.column("act", np.array([placed.found.header.first + 20]))[0])
    at = placed.found.offset + placed.found.header.payload_at + 20 * WALK.record_bytes
    change(placed.path, at, b"\xff\xff\xff\xff")
    with ReplayStore(folder, mode="r") as store:
        batch = store.sample(4000, window=8, pad="skip")
        assert (np.diff(np.asarray(batch["obs"])[:, :, 0]) == 1).all()
        assert not (set(range(number - 1, number + 8)) & set(np.asarray(batch["act"]).tolist()))
