"""A store is packed anew: no row is lost, and nothing grows that nobody asked to grow."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.replay.disk.compacting import NeedsRepair, compact, compact_as
from aitrade_cli.replay.disk.creating import codec_for
from aitrade_cli.replay.disk.opening import manifest_in
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import (
    SCHEMA,
    add_singly,
    change,
    check_batch,
    episodes,
    numbers,
    segments,
    small_store,
)


@pytest.mark.parametrize("codec", ["lz4", "zstd", "patch", "auto"])
def test_compacting_keeps_every_row_and_packs_it(codec: str, tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s", rows=150)
    with ReplayStore(folder, mode="r") as store:
        before = numbers(store)
        total = store.total
    report = compact_as(folder, codec)
    assert report.blocks_after <= report.blocks_before
    assert verify(folder).passed
    made = episodes(30, seed=3)
    with ReplayStore(folder) as store:
        assert (numbers(store), store.total) == (before, total)
        added = before | add_singly(store, made[:0])
        every = {a for episode in made for a in episode.act[:, 0].tolist()}
        check_batch(store.sample(60, discount=0.9), made, 1, 0, "repeat", every | added)
    again = compact(folder)
    assert again.size_bytes_before == again.size_bytes_after


def test_a_damaged_store_is_not_compacted(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    change(segments(folder)[0], 3000, b"\xff" * 9)
    with pytest.raises(NeedsRepair):
        compact(folder)


def test_auto_never_makes_a_store_larger(tmp_path: Path) -> None:
    with ReplayStore(tmp_path / "s", 300, schema=SCHEMA) as store:
        add_singly(store, episodes(1, seed=3))
    before = verify(tmp_path / "s").size_bytes
    assert compact_as(tmp_path / "s", "auto").size_bytes_after <= before


def test_auto_packs_as_small_as_the_best_codec_by_its_name(tmp_path: Path) -> None:
    fields = (Field("obs", "uint8", (40, 40)), Field("act", "int64"), Field("reward", "float32"))
    folder = tmp_path / "s"
    with ReplayStore(folder, 800, schema=Schema(fields)) as store:
        assert manifest_in(folder).block_rows == 100  # an eighth of the ring, not 64 KB
        frames = np.zeros((601, 40, 40), np.uint8)
        frames[np.arange(601), np.arange(601) % 40, np.arange(601) % 37] = 255
        numbers, zeros = np.arange(600), np.zeros(600, np.float32)
        store.add_batch(obs=frames[:-1], act=numbers, reward=zeros, next_obs=frames[1:])
    sizes = {}
    for codec in ("raw", "lz4", "zstd", "patch", "columns", "cold", "auto"):
        shutil.copytree(folder, tmp_path / codec)
        sizes[codec] = compact_as(tmp_path / codec, codec).size_bytes_after
        with ReplayStore(
            tmp_path / codec, memory=256 * store.schema.record_bytes, mode="r"
        ) as read:
            batch = read.sample(64, window=4)
            where = np.asarray(batch["act"])
            assert np.array_equal(np.asarray(batch["obs"])[:, -1], frames[where])
    slow = {"columns", "cold"}  # a row of theirs costs unpacking hundreds of frames
    assert sizes["auto"] <= min(size for codec, size in sizes.items() if codec not in slow)
    assert sizes["patch"] < 0.1 * sizes["raw"]


def test_auto_is_for_stores_that_hold_rows() -> None:
    with pytest.raises(Usage, match="a new store has none"):
        codec_for("auto")
