"""Readers beside a process that really writes: nothing fails, and no pair of states is mixed up."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.replay.about import about
from aitrade_cli.replay.disk import folder as folders
from aitrade_cli.replay.disk.compacting import compact_as
from aitrade_cli.replay.disk.loading import load_segment
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.sampling.drawing import NothingToSample
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import SCHEMA, segments

FEW = 256 * SCHEMA.record_bytes  # as little memory as a store takes

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def write(folder: Path) -> None:
    """Fill a store without a pause until it is enough."""
    with ReplayStore(folder, 400, schema=SCHEMA) as store:
        number = 0
        while not folder.with_name("enough").exists():
            fill(store, 30, number)
            number += 30


def fill(store: ReplayStore, count: int, start: int) -> None:
    """Steps of one long walk, each state one more than the one before, and a commit."""
    walk = np.arange(start, start + count + 1, dtype=np.float32)[:, None].repeat(3, 1)
    acts = np.arange(start, start + count)[:, None]
    rewards = np.zeros(count, np.float32)
    store.add_batch(obs=walk[:-1], act=acts, reward=rewards, next_obs=walk[1:])
    store.commit()


def mixed_up(store: ReplayStore, batch: int = 64) -> int:
    drawn = store.sample(batch)
    return int(np.count_nonzero(drawn["next_obs"] != np.asarray(drawn["obs"]) + 1))


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    """A store that another process fills without a pause; segments come and go all the time."""
    writer = multiprocessing.get_context("fork").Process(target=write, args=(tmp_path / "s",))
    writer.start()
    while len(segments(tmp_path / "s")) < 8:
        assert writer.is_alive()
    yield tmp_path / "s"
    (tmp_path / "enough").touch()
    writer.join()
    assert writer.exitcode == 0


def test_nothing_a_reader_does_fails_beside_a_writer(written: Path) -> None:
    with ReplayStore(written, mode="r") as all_of_it:
        before = all_of_it.total
        for _ in range(10):
            assert about(written).being_written
            report = verify(written)
            assert report.passed, report.damages
            all_of_it.refresh()
            assert mixed_up(all_of_it) == 0
            with ReplayStore(written, memory=FEW, mode="r") as part_of_it:
                assert mixed_up(part_of_it) == 0
        assert all_of_it.total > before


def test_a_refresh_that_fails_half_way_mixes_nothing_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplayStore(tmp_path / "s", 400, schema=SCHEMA) as store:
        fill(store, 395, 0)
        reader = ReplayStore(tmp_path / "s", mode="r")
        fill(store, 100, 1000)
        tried: list[Path] = []

        def fail(ring, segment, total, codecs) -> None:  # noqa: ANN001
            load_segment(ring, segment, total, codecs)
            if ring.total > 400 and not tried:
                tried.append(segment.path)
                raise OSError(5, "the disk is broken")

        monkeypatch.setattr(folders, "load_segment", fail)
        with pytest.raises(OSError, match="broken"):
            reader.refresh()
        assert mixed_up(reader, 4000) == 0
        fill(store, 100, 2000)
        reader.refresh()
        assert mixed_up(reader, 4000) == 0


def test_a_segment_that_goes_while_it_is_loaded_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplayStore(tmp_path / "s", 400, schema=SCHEMA) as store:
        fill(store, 395, 0)
        reader = ReplayStore(tmp_path / "s", mode="r")
        fill(store, 100, 395)

        def fail(ring, segment, total, codecs) -> None:  # noqa: ANN001
            if store.total < 1000:
                fill(store, 505, 495)
            load_segment(ring, segment, total, codecs)

        monkeypatch.setattr(folders, "load_segment", fail)
        assert reader.refresh() == store.total > 1000
        assert len(reader) == len(store)
        assert mixed_up(reader, 4000) == 0


def test_rows_that_the_writer_let_go_of_are_not_drawn(tmp_path: Path) -> None:
    with ReplayStore(tmp_path / "s", 4000, schema=SCHEMA) as store:
        fill(store, 3000, 0)
        reader = ReplayStore(tmp_path / "s", memory=FEW, mode="r", prefetch=1)
        fill(store, 2500, 3000)
        drawn = np.concatenate([reader.sample(64).indices for _ in range(20)])
        assert drawn.min() >= segment_starts(tmp_path / "s")[0] > 0
        assert not reader._ahead.torn  # gone is not damaged
        fill(store, 9000, 5500)
        with pytest.raises(NothingToSample):
            reader.rows(np.arange(100, 200))
        assert mixed_up(reader) == 0  # the newest are in memory still
        reader.refresh()
        assert (mixed_up(reader), reader.total) == (0, store.total)


def test_where_every_row_is_gone_a_reader_says_so(tmp_path: Path) -> None:
    with ReplayStore(tmp_path / "s", 400, schema=SCHEMA) as store:
        fill(store, 390, 0)
        reader = ReplayStore(tmp_path / "s", memory=FEW, mode="r", prefetch=0)
        shutil.rmtree(tmp_path / "s/segments")
        reader.ring.following[:] = np.where(np.arange(400) < 134, reader.ring.following, -1)
        with pytest.raises(NothingToSample):
            reader.sample(64)


def segment_starts(folder: Path) -> list[int]:
    return [int(path.stem) for path in segments(folder)]


@pytest.mark.parametrize("looked", [True, False])
@pytest.mark.parametrize("codec", ["raw", "lz4", "columns"])
def test_a_reader_stays_right_while_the_store_is_compacted(
    looked: bool, codec: str, tmp_path: Path
) -> None:
    folder = tmp_path / "s"
    with ReplayStore(folder, 4000, schema=SCHEMA) as store:
        for start in range(0, 5000, 20):
            fill(store, 20, start)
    with ReplayStore(folder, memory=FEW, mode="r", prefetch=1) as reader:
        if looked:
            assert mixed_up(reader) == 0
        descriptors = len(os.listdir("/proc/self/fd"))
        compact_as(folder, codec)
        assert sum(mixed_up(reader) for _ in range(20)) == 0
        reader.refresh()
        assert sum(mixed_up(reader) for _ in range(20)) == 0
        assert not reader._ahead.torn
        assert len(os.listdir("/proc/self/fd")) <= descriptors + len(segments(folder))
