"""The journal comes first, a torn one is mended, and verify holds the host against it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from aitrade_cli.system.tuning.apply import CutOff, apply_plan
from aitrade_cli.system.tuning.dropins import Places, places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.history import history
from aitrade_cli.system.tuning.journal import (
    Journal,
    JournalUnreadable,
    locked,
    read_runs,
)
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.verify import verify
from tests.test_system_tuning_apply import apply, outcome, undo
from tests.tuning_hosts import debian, snapshot

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


def test_every_write_stands_in_the_journal_before_it_is_made(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    seen: list[tuple[str, str | None]] = []

    def look(point: str) -> None:
        if point.startswith("intent"):
            path = next((tree.root / "var/lib/aitrade/tune").glob("*.jsonl"))
            line = json.loads(path.read_text().splitlines()[-1])
            now = tree.read(line["place"]) if line["kind"] != "folder" else None
            seen.append((line["place"], None if now is None else now.decode()))
            assert now == (None if line["before"] is None else line["before"].encode())

    apply(tree, at=look)
    assert len(seen) > 20


@pytest.mark.parametrize("cut", [1, 10, 40, 200])
def test_a_torn_last_line_was_never_acted_on(tmp_path: Path, cut: int) -> None:
    root = debian(tmp_path / "host")
    before = snapshot(root)

    class Killed(BaseException):
        pass

    def kill(point: str) -> None:
        if point == "intent 5":
            raise Killed

    tree = Tree(root)
    with pytest.raises(Killed):
        apply(tree, at=kill)
    path = next((root / "var/lib/aitrade/tune").glob("*.jsonl"))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(CutOff, match="cut off"):
        apply(tree)
    assert undo(tree).passed
    assert snapshot(root) == before
    assert [run.state for run in read_runs(tree, places_for(tree))] == ["undone"]


def test_an_empty_journal_is_a_run_that_did_nothing(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    with locked(tree, places_for(tree)):
        path = tree.root / "var/lib/aitrade/tune/20261126-120000-0000.jsonl"
        path.write_bytes(b"")
    assert undo(tree).passed
    assert apply(tree).exit_code == 0


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    places = places_for(tree)
    with locked(tree, places):
        Journal(tree, places, "20261126-120000-0000").append("begin", format=99)
    with pytest.raises(JournalUnreadable, match="99"):
        history(tree, places)


def test_verify_holds_the_host_against_what_was_applied(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))

    def check() -> dict[str, str]:
        facts = read_facts(tree)
        report = verify(facts, make_plan(facts), places_for(tree))
        found = {line.key: line.standing for line in report.lines}
        return {**found, "passed": str(report.passed)}

    assert check()["passed"] == "False"  # nothing applied: held against the plan
    apply(tree)
    found = check()
    assert found["passed"] == "True"
    assert found["vm.swappiness"] == "in force"
    assert found["env.OMP_NUM_THREADS"] == "configured"
    assert found["KMP_BLOCKTIME"] == "no reader"
    tree.put("/proc/sys/vm/swappiness", b"60\n")
    assert (check()["vm.swappiness"], check()["passed"]) == ("drift", "False")
    undo(tree)
    assert check()["passed"] == "False"


def test_a_file_that_wins_at_the_next_boot_is_drift(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, only=["vm.swappiness"])
    tree.put("/etc/sysctl.d/99-z.conf", b"vm.swappiness=60\n")
    facts = read_facts(tree)
    report = verify(facts, make_plan(facts), places_for(tree))
    assert [line.standing for line in report.lines if line.key == "vm.swappiness"] == [
        "set back later"
    ]
    assert not report.passed


def test_without_the_right_to_the_system_the_own_folders_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    places = places_for(Tree())
    assert places == Places(
        str(tmp_path / "state/aitrade/tune"), str(tmp_path / "config/aitrade/tune.env"), True
    )
    tree = Tree()
    facts = replace(read_facts(Tree(debian(tmp_path / "host"))), tree=tree)
    plan = make_plan(facts, only=["env.OMP_NUM_THREADS", "limit"])
    done = apply_plan(plan, tree, places, now=NOW)
    assert outcome(done, "env.OMP_NUM_THREADS") == "applied"
    assert done.exit_code in {0, 5}
    assert "OMP_NUM_THREADS=4" in (tmp_path / "config/aitrade/tune.env").read_text()
    assert revert(tree, places).passed
    assert not (tmp_path / "config/aitrade/tune.env").exists()
