"""Applied, applied again, undone: byte for byte on trees, token for token on kernels."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.system.tuning.apply import CannotKeepJournal, apply_plan
from aitrade_cli.system.tuning.dropins import ENVIRONMENT, entries_in, places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.journal import (
    Busy,
    NoSuchRun,
    locked,
)
from aitrade_cli.system.tuning.outcomes import Outcomes
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import AlreadyUndone, BuiltUpon, RevertReport, revert
from aitrade_cli.system.tuning.settings.kinds import Purpose
from aitrade_cli.system.tuning.tree import Tree
from tests.tuning_hosts import MoodyKernel, closed, debian, snapshot

NOW = datetime(2026, 11, 26, 12, 0, 0, tzinfo=UTC)


def apply(tree: Tree, purpose: Purpose = "train", **more: Any) -> Outcomes:
    chosen = {name: more.pop(name) for name in ("only", "skip") if name in more}
    plan = make_plan(read_facts(tree), purpose, **chosen)
    return apply_plan(plan, tree, places_for(tree), now=NOW, **more)


def undo(tree: Tree, asked: str | None = None) -> RevertReport:
    return revert(tree, places_for(tree), asked)


def outcome(done: Outcomes, key: str) -> str:
    return next(line.outcome for line in done.lines if line.key == key)


@pytest.mark.parametrize("purpose", ["train", "inference", "feed"])
def test_undoing_restores_every_byte_of_a_tree(tmp_path: Path, purpose: Purpose) -> None:
    root = debian(tmp_path / "host")
    before = snapshot(root)
    assert before["sys/block/sda/queue/scheduler"][2] == b"[mq-deadline] none\n"
    done = apply(Tree(root), purpose)
    assert done.exit_code == 0
    assert snapshot(root) != before
    assert undo(Tree(root)).passed
    assert snapshot(root) == before


def test_a_second_run_finds_nothing_to_do(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree)
    after = snapshot(tree.root)
    again = apply(tree)
    assert (again.run_id, again.exit_code) == (None, 0)
    assert snapshot(tree.root) == after


def test_a_coupled_pair_is_changed_and_restored_together(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, only=["vm.dirty_bytes"])
    assert (tree.text("/proc/sys/vm/dirty_bytes"), tree.text("/proc/sys/vm/dirty_ratio")) == (
        "1073741824",
        "0",
    )
    undo(tree)
    assert (tree.text("/proc/sys/vm/dirty_bytes"), tree.text("/proc/sys/vm/dirty_ratio")) == (
        "0",
        "20",
    )


@pytest.mark.parametrize("purpose", ["train", "feed"])
def test_a_kernel_that_refuses_clamps_and_couples_is_restored(
    tmp_path: Path, purpose: Purpose
) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host"))
    before, files = kernel.meaning(), snapshot(kernel.root / "etc")
    assert apply(kernel, purpose).exit_code == 0
    assert kernel.meaning() != before
    report = undo(kernel)
    assert [line for line in report.lines if line.outcome not in {"restored", "as before"}] == []
    assert kernel.meaning() == before
    assert snapshot(kernel.root / "etc") == files


def test_writing_zero_back_would_be_refused(tmp_path: Path) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host"))
    with pytest.raises(OSError, match="Invalid argument"):
        kernel.set_value("/proc/sys/vm/dirty_bytes", "0")


def test_a_value_that_the_kernel_clamps_is_told_and_undone(tmp_path: Path) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host", {"proc/sys/net/core/somaxconn": "128\n"}))
    kernel.clamped = {"/proc/sys/net/core/somaxconn": 1024}
    done = apply(kernel, "feed", only=["net.core.somaxconn"])
    assert outcome(done, "net.core.somaxconn") == "clamped"
    assert done.exit_code == 0
    assert undo(kernel).passed
    assert kernel.value("/proc/sys/net/core/somaxconn") == "128"


def test_one_refused_key_is_told_and_the_others_are_applied(tmp_path: Path) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host"))
    kernel.denied = frozenset(("/proc/sys/vm/swappiness",))
    done = apply(kernel)
    assert outcome(done, "vm.swappiness") == "not permitted"
    assert outcome(done, "vm.max_map_count") == "applied"
    assert done.exit_code == 5
    assert undo(kernel).passed


def test_what_others_changed_since_is_left_alone_and_named(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree)
    tree.put("/proc/sys/vm/swappiness", b"33\n")
    tree.put("/etc/aitrade/tune.env", b"MINE=1\n")
    report = undo(tree)
    assert not report.passed
    left = {line.place for line in report.lines if line.outcome == "left alone"}
    assert left == {"/proc/sys/vm/swappiness", "/etc/aitrade/tune.env"}
    assert tree.text("/proc/sys/vm/swappiness") == "33"
    assert tree.text("/etc/aitrade/tune.env") == "MINE=1"
    assert tree.text("/proc/sys/vm/max_map_count") == "65530"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("vm.swappiness = 1\n", "is not aitrade's"),
        ("# Managed by aitrade tune-system, plan x; undo\nvm.swappiness = 1\n", None),
    ],
)
def test_a_file_of_somebody_else_is_never_written_over(
    tmp_path: Path, text: str, why: str | None
) -> None:
    tree = Tree(debian(tmp_path / "host", {"etc/sysctl.d/90-aitrade.conf": text}))
    done = apply(tree)
    if why is None:
        assert done.exit_code == 0
        return
    (line,) = [one for one in done.lines if one.key == "vm.swappiness"]
    assert (line.outcome, done.exit_code) == ("not kept", 6)
    assert why in line.detail
    assert tree.text("/etc/sysctl.d/90-aitrade.conf") == text.strip()


def test_our_file_edited_by_another_hand_is_not_written_over(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, only=["vm.swappiness"])
    data = (tree.read("/etc/sysctl.d/90-aitrade.conf") or b"") + b"vm.laptop_mode = 1\n"
    tree.put("/etc/sysctl.d/90-aitrade.conf", data)
    done = apply(tree, only=["vm.max_map_count"])
    assert outcome(done, "vm.max_map_count") == "not kept"
    assert tree.read("/etc/sysctl.d/90-aitrade.conf") == data


def test_runtime_only_writes_no_file_and_persist_no_value(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    before = snapshot(tree.root)
    done = apply(tree, extent="runtime")
    assert outcome(done, "env.OMP_NUM_THREADS") == "lasts only in a file"
    changed = {name for name, file in snapshot(tree.root).items() if before.get(name) != file}
    assert changed
    assert not any(name.startswith("etc") for name in changed)
    undo(tree)
    apply(tree, extent="files")
    changed = {name for name, file in snapshot(tree.root).items() if before.get(name) != file}
    assert all(name.startswith("etc") for name in changed)
    undo(tree)
    assert snapshot(tree.root) == before


def test_what_a_run_set_for_now_a_later_one_makes_last(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, only=["vm.swappiness"], extent="runtime")
    assert not tree.exists("/etc/sysctl.d/90-aitrade.conf")
    apply(tree, only=["vm"])
    assert "vm.swappiness = 10" in (tree.text("/etc/sysctl.d/90-aitrade.conf") or "")


def test_runs_are_undone_in_the_order_in_which_they_stand_on_each_other(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    before = snapshot(tree.root)
    first = apply(tree, only=["env"]).run_id or ""
    later = NOW.replace(minute=1)
    plan = make_plan(read_facts(tree), "inference", only=["env"])
    second = apply_plan(plan, tree, places_for(tree), now=later).run_id or ""
    assert entries_in(tree, places_for(tree), ENVIRONMENT) == {"OMP_NUM_THREADS": "1"}
    with pytest.raises(BuiltUpon, match=second):
        undo(tree, first)
    assert undo(tree).run_ids == (second,)
    assert entries_in(tree, places_for(tree), ENVIRONMENT)["OMP_NUM_THREADS"] == "4"
    with pytest.raises(AlreadyUndone):
        undo(tree, second)
    assert undo(tree, "all").run_ids == (first,)
    assert snapshot(tree.root) == before
    assert undo(tree).run_ids == ()


def test_an_unknown_run_is_told(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, only=["env"])
    for name in ("20200101-000000-abcd", "../../etc/passwd"):
        with pytest.raises(NoSuchRun):
            undo(tree, name)


def test_two_at_once_and_the_second_is_refused(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    with locked(tree, places_for(tree)), pytest.raises(Busy):
        apply(tree)


def test_a_journal_without_a_place_means_that_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(debian(tmp_path / "host"))
    before = snapshot(tree.root)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/aitrade")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(CannotKeepJournal, match="Permission denied"):
        apply(tree)
    assert snapshot(tree.root) == before


def test_the_process_part_is_applied_where_the_kernel_is_closed(tmp_path: Path) -> None:
    tree = Tree(closed(tmp_path / "box"))
    before = snapshot(tree.root)
    done = apply(tree)
    assert outcome(done, "env.OMP_NUM_THREADS") == "applied"
    assert outcome(done, "vm.max_map_count") == "not permitted"
    assert done.exit_code == 5
    assert undo(tree).passed
    assert snapshot(tree.root) == before
