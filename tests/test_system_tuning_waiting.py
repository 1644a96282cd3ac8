"""A run that waits for a yes: nothing on top of it, nothing that outlives a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.system.tuning import confirm as confirming
from aitrade_cli.system.tuning import work
from aitrade_cli.system.tuning.apply import CutOff, WaitsForYes
from aitrade_cli.system.tuning.confirm import confirm, guard, wait_for_answer
from aitrade_cli.system.tuning.dropins import Places, places_for
from aitrade_cli.system.tuning.journal import Busy, Journal, read_runs
from aitrade_cli.system.tuning.tree import Tree
from tests.test_system_tuning_apply import apply, outcome, undo
from tests.tuning_hosts import debian, snapshot

SWAPPINESS = "/proc/sys/vm/swappiness"
CONF = "/etc/sysctl.d/90-aitrade.conf"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about a disk that loses what was not synced."""
    monkeypatch.setattr("os.fsync", lambda _: None)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(confirming, "POLL_SECONDS", 0.001)
    return Tree(debian(tmp_path / "host"))


@pytest.fixture
def places(tree: Tree) -> Places:
    return places_for(tree)


def state(tree: Tree) -> str:
    return read_runs(tree, places_for(tree))[-1].state


def test_files_come_after_the_yes_so_that_a_restart_forgets_the_run(
    tree: Tree, places: Places
) -> None:
    before = snapshot(tree.root / "etc")
    done = apply(tree, confirm_seconds=60.0)
    assert tree.value(SWAPPINESS) == "10"
    assert snapshot(tree.root / "etc") == before
    assert outcome(done, "env.OMP_NUM_THREADS") == "waits for a yes"
    assert state(tree) == "unconfirmed"
    confirm(tree, places)  # as from another terminal: all it has is the journal
    assert state(tree) == "in force"
    assert "vm.swappiness = 10" in (tree.text(CONF) or "")
    assert "OMP_NUM_THREADS=4" in (tree.text("/etc/aitrade/tune.env") or "")


def test_a_confirmed_run_is_undone_byte_for_byte(tree: Tree, places: Places) -> None:
    before = snapshot(tree.root)
    apply(tree, confirm_seconds=60.0)
    confirm(tree, places)
    assert undo(tree).passed
    assert snapshot(tree.root) == before


def test_nothing_is_applied_on_top_of_a_run_that_waits(tree: Tree) -> None:
    run_id = apply(tree, only=["env"], confirm_seconds=60.0).run_id or ""
    with pytest.raises(WaitsForYes, match=run_id):
        apply(tree, "inference", only=["env"])
    with pytest.raises(WaitsForYes):
        work.apply_host(tree, work.Asked())
    undo(tree)
    assert apply(tree, "inference", only=["env"]).exit_code == 0


def test_a_guard_that_died_is_replaced_by_whoever_waits(tree: Tree, places: Places) -> None:
    before = snapshot(tree.root)
    run_id = apply(tree, confirm_seconds=60.0).run_id or ""
    now, lives = iter((0.0, 1.0, 59.0, 61.0, 61.1)), iter((True, False))
    answer = wait_for_answer(
        tree,
        places,
        run_id,
        60.0,
        said_yes=lambda _: False,
        guarded=lambda: next(lives),
        clock=lambda: next(now),
    )
    assert answer == "undone"
    assert snapshot(tree.root) == before


def test_a_yes_while_the_guard_is_at_work_is_no_failure(
    tree: Tree, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = apply(tree, confirm_seconds=60.0).run_id or ""

    def busy(*_: object) -> str:
        undo(tree)  # what the guard is doing meanwhile
        raise Busy

    monkeypatch.setattr(confirming, "confirm", busy)
    answer = wait_for_answer(
        tree, places, run_id, 60.0, said_yes=lambda _: True, guarded=lambda: True
    )
    assert answer == "undone"


def test_a_yes_that_was_killed_in_its_middle_is_told(tree: Tree, places: Places) -> None:
    before = snapshot(tree.root)
    run_id = apply(tree, confirm_seconds=60.0).run_id or ""
    Journal(tree, places, run_id).append("confirmed")
    with pytest.raises(CutOff):
        wait_for_answer(tree, places, run_id, 60.0, said_yes=lambda _: True, guarded=lambda: True)
    assert not guard(tree, places, run_id, 0.0)
    assert undo(tree).passed
    assert snapshot(tree.root) == before


def test_a_file_that_was_edited_while_the_run_waited_is_left_and_named(tree: Tree) -> None:
    def edits_then_says_yes(_: float) -> bool:
        (tree.root / "etc/sysctl.d").mkdir(exist_ok=True)
        tree.put(CONF, b"vm.laptop_mode = 1\n")
        return True

    asked = work.Asked(only=("vm.swappiness",), confirm_seconds=30.0)
    report = work.apply_host(tree, asked, said_yes=edits_then_says_yes)
    assert outcome(report.outcomes, "vm.swappiness") == "not kept"
    assert report.exit_code == 6
    assert tree.text(CONF) == "vm.laptop_mode = 1"
    assert tree.value(SWAPPINESS) == "10"
