"""Who makes, opens and closes a store on disk, and what each of them is told."""

from __future__ import annotations

import errno
import gc
import os
import shutil
from pathlib import Path

import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.replay.disk import opening
from aitrade_cli.replay.disk.appending import StoreFull
from aitrade_cli.replay.disk.creating import create
from aitrade_cli.replay.disk.folder import Closed
from aitrade_cli.replay.disk.keeping import OtherSampler, prioritized
from aitrade_cli.replay.disk.opening import ForeignFolder
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.lock import Lock, StoreInUse
from aitrade_cli.replay.store import ReplayStore
from tests.replay_cases import SCHEMA, add_singly, columns, episodes, numbers, small_store, steps


def test_a_closed_store_refuses_and_promises_nothing(tmp_path: Path) -> None:
    store = ReplayStore(small_store(tmp_path / "s"))
    step = next(steps(episodes(1, seed=1)))
    store.close()
    store.close()
    asked = (
        lambda: store.add(**step),
        lambda: store.add_batch(env=0, **columns([step])),
        store.commit,
        lambda: store.sample(4),
        store.refresh,
    )
    for ask in asked:
        with pytest.raises(Closed, match="was closed"):
            ask()


def test_a_close_that_finds_the_disk_full_keeps_the_lock_and_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_store(tmp_path / "s")
    store = ReplayStore(folder)
    add_singly(store, episodes(40, seed=4)[30:])
    wanted = numbers(store)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StoreFull):
            store.close()
    with pytest.raises(StoreInUse):
        ReplayStore(folder)
    store.close()
    with ReplayStore(folder) as again:
        assert numbers(again) == wanted


def test_a_store_that_could_not_be_closed_and_is_forgotten_holds_nobody_up(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):  # and nothing is said of an attribute
        Lock(tmp_path / "missing")
    held = Lock(small_store(tmp_path / "s"))
    with pytest.raises(StoreInUse):
        Lock(tmp_path / "s")
    del held
    gc.collect()
    Lock(tmp_path / "s").release()


def test_of_two_who_make_a_store_at_once_one_is_refused_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "s"

    def slow(at: Path) -> Lock:
        monkeypatch.setattr(opening.lock, "Lock", Lock)
        small_store(folder)  # another process is quicker
        return Lock(at)

    monkeypatch.setattr(opening.lock, "Lock", slow)
    with pytest.raises(ForeignFolder, match="is a replay store already"):
        opening.create_store(folder, opening.NewStore(SCHEMA, 10))
    assert verify(folder).passed
    shutil.rmtree(folder)
    monkeypatch.setattr(opening.lock, "Lock", slow)
    with ReplayStore(folder, 10, schema=SCHEMA) as store:  # it is there: it is opened
        assert (store.capacity, len(store)) == (300, len(numbers(store)))
    assert verify(folder).passed


def test_what_a_killed_creator_left_is_in_nobodys_way(tmp_path: Path) -> None:
    (tmp_path / ".aitrade-0123.tmp").write_bytes(b"half a head")
    ReplayStore(tmp_path, 10, schema=SCHEMA).close()
    (tmp_path / "replay.json").unlink()
    (tmp_path / "head").unlink()
    (tmp_path / f"segments/{0:020d}.seg").write_bytes(b"somebody's")
    with pytest.raises(ForeignFolder, match="among them"):
        ReplayStore(tmp_path, 10, schema=SCHEMA)


def test_a_capacity_that_links_cannot_point_into_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"at most 2,147,479,550 rows, got `5,000,000,000,000`"):
        create(tmp_path / "s", SCHEMA, 5_000_000_000_000, None)
    assert not (tmp_path / "s").exists()


def test_links_take_what_create_says(tmp_path: Path) -> None:
    report = create(tmp_path / "s", SCHEMA, 50_000, None)
    few = 256 * SCHEMA.record_bytes
    with ReplayStore(tmp_path / "s", memory=few, mode="r") as store:
        ring = store.ring
        assert ring.rewards is not None
        held = ring.columns.nbytes + ring.links.nbytes + ring.rewards.nbytes
        assert report.links_bytes == held == ring.bytes - few


def test_priorities_of_another_sampler_are_not_dropped(tmp_path: Path) -> None:
    from aitrade_cli.replay.sampling.priorities import Proportional
    from aitrade_cli.replay.sampling.ranked import RankBased

    folder = tmp_path / "s"
    with ReplayStore(folder, 300, schema=SCHEMA, sampler=RankBased()) as store:
        add_singly(store, episodes(20, seed=1))
    assert isinstance(prioritized(folder), RankBased)
    with pytest.raises(OtherSampler, match="of the sampler `rank`, not of `proportional`"):
        ReplayStore(folder, sampler=Proportional())
    with ReplayStore(folder) as store:  # uniform draws keep nothing and take nothing away
        store.sample(4)
    assert isinstance(prioritized(folder), RankBased)
    assert isinstance(prioritized(small_store(tmp_path / "none")), Proportional)
