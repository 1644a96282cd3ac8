"""What happens to a store when a process, a disk or a byte fails."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aitrade_cli.replay.disk.manifest import DamagedManifest
from aitrade_cli.replay.disk.opening import manifest_in
from aitrade_cli.replay.disk.repairing import repair
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import (
    SCHEMA,
    add_singly,
    change,
    episodes,
    layout_of,
    numbers,
    segments,
    small_store,
)
from tests.soak import replay as soak_kills
from tests.soak import replay_steps as soak
from tests.soak.replay import (
    damages,
    killed,
    kills,
    kills_of_compact,
    kills_of_repair,
    last_of,
    still_there,
    write_for_ever,
)
from tests.soak.replay_steps import CAPACITY, faults, whole_store

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


# the full counts are in `make soak`


def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    assert kills(6, seed=11, folder=tmp_path, writer=write_for_ever) == (0, 0, 0)


def test_a_killed_writer_had_let_go_of_segments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak_kills, "PATIENCE", 600.0)
    folder = tmp_path / "k"
    safe = last_of(killed(lambda told: write_for_ever(folder, told, 3), 0.0, 2 * CAPACITY))
    assert safe >= 2 * CAPACITY
    assert segments(folder)[0].stem != f"{0:020d}"
    assert len(segments(folder)) > 4
    with ReplayStore(folder, mode="r") as store:
        assert 0 < len(still_there(folder, safe, store.total)) < safe


def test_rows_that_wait_in_memory_evict_nothing_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ReplayStore(tmp_path / "s", 400, schema=SCHEMA) as store:
        add_singly(store, episodes(50, seed=1))
        store.commit()
        add_singly(store, episodes(40, seed=2))
        assert store.disk is not None
        assert store.disk.appender is not None
        monkeypatch.setattr("aitrade_cli.replay.disk.appending.WRITE_BYTES", 1)
        store.disk.appender.append_some()  # and here it is killed
        report = verify(tmp_path / "s")
        assert (report.damages, report.rows_whole >= 400) == ((), True)


def test_a_compact_and_a_repair_that_are_killed_lose_nothing(tmp_path: Path) -> None:
    assert kills_of_compact(3, seed=2, folder=tmp_path) == []
    assert kills_of_repair(3, seed=2, folder=tmp_path) == []


def test_a_writer_that_acknowledges_too_early_would_be_noticed(tmp_path: Path) -> None:
    def early(folder: Path, told: int, seed: int) -> None:
        with ReplayStore(folder, 1000, schema=soak.SCHEMA) as store:
            os.write(told, (500).to_bytes(8, "little"))
            soak.add(store, seed)
            while True:
                pass

    lost, _, _ = kills(4, seed=1, folder=tmp_path, writer=early)
    assert lost >= 500


def test_every_damage_is_named_and_nothing_torn_is_served(tmp_path: Path) -> None:
    assert damages(40, seed=3, folder=tmp_path) == []


def test_a_row_that_was_changed_with_its_checksums_would_be_noticed(tmp_path: Path) -> None:
    with ReplayStore(whole_store(tmp_path / "s")) as store:
        assert faults(store)[1] == 0
        store.ring.views["obs"][7] += 1
        assert faults(store)[1] > 0


def test_a_damage_is_named_with_its_file_offset_and_rows(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    path = segments(folder)[1]
    with ReplayStore(folder, mode="r") as store:
        placed = next(block for block in layout_of(store) if block.path == path)
    header = placed.found.header
    at = placed.found.offset + header.payload_at + 2 * SCHEMA.record_bytes
    change(path, at, b"\xff\xff")
    (damage,) = verify(folder).damages
    assert (damage.file, damage.offset) == (f"segments/{path.name}", at)
    assert (damage.first_row, damage.rows) == (header.first + 2, 1)
    assert damage.bytes == SCHEMA.record_bytes


def test_damage_in_the_middle_costs_what_it_touches(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    with ReplayStore(folder, mode="r") as store:
        before, total = numbers(store), store.total
        first = layout_of(store)[0]
    change(first.path, first.found.offset, b"\0" * 64)  # a header: its block is gone
    report = verify(folder)
    assert report.rows_lost == first.found.header.count
    with ReplayStore(folder, mode="r") as store:
        assert store.total == total
        assert numbers(store) < before
        assert len(before) - len(numbers(store)) <= first.found.header.count + 1


def test_repair_saves_the_rest_and_says_what_it_gave_up(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    segments(folder)[2].unlink()
    change(segments(folder)[0], 3000, b"\xff" * 9)
    found = verify(folder)
    report = repair(folder)
    assert report.rows_lost == found.rows_lost > 0
    assert report.damages == found.damages
    assert verify(folder).passed
    assert verify(folder).rows_lost_before == found.rows_lost
    assert not repair(folder).changed
    with ReplayStore(folder) as store:
        kept = numbers(store)
        added = add_singly(store, episodes(90, seed=9)[88:])
        assert added - kept == added
        assert numbers(store) == kept | added
    assert verify(folder).passed


@pytest.mark.parametrize("name", ["replay.json", "head"])
@pytest.mark.parametrize("how", ["gone", "zeros"])
def test_small_files_are_mended_from_the_segments(name: str, how: str, tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    with ReplayStore(folder, mode="r") as store:
        before = numbers(store)
    path = folder / name
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(bytes(path.stat().st_size))
    assert not verify(folder).passed
    repair(folder)
    assert verify(folder).passed
    with ReplayStore(folder) as store:
        assert numbers(store) == before


def test_a_manifest_without_a_copy_is_refused(tmp_path: Path) -> None:
    ReplayStore(tmp_path / "s", 10, schema=SCHEMA).close()
    (tmp_path / "s/replay.json").write_text("{}")
    with pytest.raises(DamagedManifest, match="every copy"):
        manifest_in(tmp_path / "s")


def test_a_tail_that_nobody_was_promised_is_named_and_is_no_damage(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    last = segments(folder)[-1]
    last.write_bytes(last.read_bytes() + b"half a block")
    report = verify(folder)
    assert report.passed
    assert [tail.reason for tail in report.unacknowledged] == ["a write that was cut short"]
    with ReplayStore(folder) as store:
        before = numbers(store)
    assert verify(folder).unacknowledged == ()
    with ReplayStore(folder, mode="r") as store:
        assert numbers(store) == before


def test_an_acknowledged_row_that_was_cut_off_is_no_tail(tmp_path: Path) -> None:
    folder = small_store(tmp_path / "s")
    last = segments(folder)[-1]
    os.truncate(last, last.stat().st_size - 1)
    report = verify(folder)
    assert not report.passed
    assert report.rows_lost > 0
