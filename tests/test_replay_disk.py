"""A store on disk: who may open it, what it keeps to, what is read again."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.replay.disk import head, manifest
from aitrade_cli.replay.disk.format import VERSION, NewerStore, read_mark
from aitrade_cli.replay.disk.opening import ForeignFolder, NoStore, manifest_in
from aitrade_cli.replay.disk.repairing import repair
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.lock import StoreInUse
from aitrade_cli.replay.ring import LAST_STATE
from aitrade_cli.replay.schema import Field, Schema, SchemaMismatch
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import (
    SCHEMA,
    add_singly,
    change,
    check_batch,
    episodes,
    layout_of,
    numbers,
    segments,
    small_store,
)
from tests.shell import ROOT, surroundings
from tests.test_disaster_full_disk import UNSHARE, small_disks_are_allowed

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def hold(folder: str, ready: int, done: int) -> None:
    store = ReplayStore(folder)
    os.write(ready, b"1")
    os.read(done, 1)
    store.close()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Path]:
    """A store that another process writes to."""
    folder = small_store(tmp_path / "s")
    told, ready = os.pipe()
    waits, done = os.pipe()
    context = multiprocessing.get_context("fork")
    process = context.Process(target=hold, args=(str(folder), ready, waits))
    process.start()
    os.read(told, 1)
    yield folder
    os.write(done, b"1")
    process.join()


def test_a_second_writer_is_refused_and_a_reader_is_not(writer: Path) -> None:
    with pytest.raises(StoreInUse, match=r"is being written by process \d+"):
        ReplayStore(writer)
    change(segments(writer)[0], 3000, b"\xff" * 9)
    with pytest.raises(StoreInUse):
        repair(writer)
    with ReplayStore(writer, mode="r") as store:
        assert len(store) > 0


def test_a_reader_sees_what_was_committed_and_follows(tmp_path: Path) -> None:
    made = episodes(60, seed=2)
    with ReplayStore(tmp_path / "s", 200, schema=SCHEMA) as store:
        added = add_singly(store, made[:3])
        store.commit()
        reader = ReplayStore(tmp_path / "s", mode="r")
        later = add_singly(store, made[3:4])
        assert numbers(reader) == added
        added |= later
        assert reader.refresh() == reader.total
        for episode in made[4:]:  # far beyond the capacity: segments are deleted meanwhile
            added |= add_singly(store, [episode])
            store.commit()
            reader.refresh()
            check_batch(reader.sample(20, discount=0.9), made, 1, 0, "repeat", added)
        assert numbers(reader) == numbers(store)
        reader.close()


def test_a_store_on_disk_stays_within_its_capacity(tmp_path: Path) -> None:
    with ReplayStore(tmp_path / "s", 200, schema=SCHEMA) as store:
        for number in range(3000):
            store.add(np.full(3, number), number, 0.0, np.full(3, number + 1.0))
        store.commit()
        rows = sum(block.found.header.count for block in layout_of(store))
        assert rows <= 200 + manifest_in(tmp_path / "s").segment_rows
    assert verify(tmp_path / "s").passed


def test_commits_keep_the_newest_state_and_the_episode_goes_on(tmp_path: Path) -> None:
    made = episodes(8, seed=5)
    with ReplayStore(tmp_path / "s", 500, schema=SCHEMA) as store:
        for episode in made:
            for step in range(len(episode)):
                store.add(**episode.transition(step))
                assert store.commit() == store.total
        added = numbers(store)
        check_batch(store.sample(80, n_step=3, window=4, discount=0.9), made, 3, 4, "repeat", added)
        assert np.count_nonzero(store.ring.flags[: store.total] & LAST_STATE) > len(made)
    with ReplayStore(tmp_path / "s") as store:
        check_batch(store.sample(80, n_step=3, window=4, discount=0.9), made, 3, 4, "repeat", added)


FILL = """
import sys
import numpy as np
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.disk.folder import Disk
from aitrade_cli.replay.disk.appending import StoreFull
from aitrade_cli.replay.store import ReplayStore
schema = Schema((Field("obs", "float32", (64,)), Field("act", "int64"), Field("reward", "float32")))
store = ReplayStore(sys.argv[1], 10_000, schema=schema)
safe = 0
try:
    for number in range(5000):
        store.add(np.full(64, number), number, 0.0, np.full(64, number + 1))
        if number % 50 == 49:
            store.commit()
            safe = number + 1
except StoreFull as error:
    print(safe, str(error))
"""


def test_a_full_disk_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    if not small_disks_are_allowed():
        pytest.skip("this machine does not allow mounting in a user namespace")
    place = tmp_path / "disk"
    place.mkdir()
    fill = shlex.join([sys.executable, "-c", FILL, f"{place}/s"])
    copy = f"cp -r {place}/s {tmp_path}/copy"
    line = f"mount -t tmpfs -o size=256k none {place}; {fill}; {copy}"
    done = subprocess.run(
        [*UNSHARE, "bash", "-c", line],
        capture_output=True,
        env=surroundings(),
        cwd=ROOT,
        text=True,
        check=False,
    )
    assert "no room for more rows" in done.stdout, done.stderr
    safe = int(done.stdout.split()[0])
    assert safe > 0
    assert verify(tmp_path / "copy").passed
    with ReplayStore(tmp_path / "copy") as store:
        index = np.arange(store.total)
        served = store.rows(index[store.sampleable(index)])
        assert set(range(safe)) <= set(np.asarray(served["act"]).tolist())
        assert np.array_equal(served["next_obs"], np.asarray(served["obs"]) + 1)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ForeignFolder, match=r"`notes.txt` among them"):
        ReplayStore(tmp_path, 10, schema=SCHEMA)
    with pytest.raises(ForeignFolder, match="is no replay store"):
        ReplayStore(tmp_path, mode="r")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    with pytest.raises(NoStore):
        ReplayStore(tmp_path / "nothing", mode="r")


def test_a_store_that_was_half_made_can_be_made(tmp_path: Path) -> None:
    small_store(tmp_path / "s")
    shutil.rmtree(tmp_path / "s/segments")
    (tmp_path / "s/segments").mkdir()
    (tmp_path / "s/replay.json").unlink()
    ReplayStore(tmp_path / "s", 10, schema=SCHEMA).close()


def test_another_schema_is_refused(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    other = Schema((Field("obs", "float32", (4,)), *SCHEMA.fields[1:]))
    with pytest.raises(SchemaMismatch, match="has `obs` as `3:float32`, asked for is `4:float32`"):
        ReplayStore(folder, schema=other)


def test_the_store_of_the_first_format_opens_and_is_what_the_file_beside_it_holds() -> None:
    rollouts = ROOT / "fixtures/rollouts"
    assert manifest_in(rollouts / "cartpole").version == 1
    assert verify(rollouts / "cartpole").passed
    with (
        ReplayStore(rollouts / "cartpole", mode="r") as store,
        np.load(rollouts / "cartpole.npz") as file,
    ):
        every = np.arange(store.total)
        batch = store.rows(every[store.sampleable(every)])
        assert all(np.array_equal(batch[name], file[name]) for name in file.files)


def test_a_later_format_is_refused_in_one_clear_line(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    made = manifest.read(folder)
    object.__setattr__(made, "version", VERSION + 1)
    (folder / "replay.json").write_bytes(made.to_bytes())
    with pytest.raises(NewerStore, match=f"has format {VERSION + 1}, this aitrade reads up to"):
        ReplayStore(folder)


def test_priorities_are_kept_with_the_store(tmp_path: Path) -> None:
    from aitrade_cli.replay.sampling.priorities import Proportional

    with ReplayStore(tmp_path / "s", 300, schema=SCHEMA, sampler=Proportional()) as store:
        add_singly(store, episodes(20, seed=1))
        index = np.flatnonzero(store.sampleable(np.arange(store.total)))
        store.update_priorities(index, np.where(index == index[5], 1e6, 1e-6))
    with ReplayStore(tmp_path / "s", sampler=Proportional(alpha=1.0), mode="r") as store:
        drawn = store.sample(100)
        assert np.mean(drawn.indices == index[5]) > 0.9
    state = (tmp_path / "s/sampler.npz").read_bytes()
    (tmp_path / "s/sampler.npz").write_bytes(state[:-30])
    assert [damage.file for damage in verify(tmp_path / "s").damages] == ["sampler.npz"]
    with ReplayStore(tmp_path / "s", sampler=Proportional(), mode="r") as store:
        assert len(set(store.sample(100).indices.tolist())) > 20


def test_one_mark_is_enough(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    for place in head.HEAD_PLACES:
        copy = tmp_path / f"copy{place}"
        shutil.copytree(folder, copy)
        change(copy / "head", place, b"\0" * 72)
        (damage,) = verify(copy).damages
        assert (damage.file, damage.offset) == ("head", place)
        with ReplayStore(copy, mode="r") as store, ReplayStore(folder, mode="r") as whole:
            assert numbers(store) == numbers(whole)
    assert read_mark(b"") is None
