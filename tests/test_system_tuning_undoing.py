"""An undo that was refused can be said again; what others coupled to ours stays theirs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from aitrade_cli.system.tuning.apply import CutOff
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.history import history
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.prove import around_kernel, ended_as_by_ctrl_c, kernel_lines
from aitrade_cli.system.tuning.revert import AlreadyUndone
from aitrade_cli.system.tuning.tree import Tree
from tests.test_system_tuning_apply import apply, undo
from tests.tuning_hosts import MoodyKernel, debian, snapshot

SWAPPINESS = "/proc/sys/vm/swappiness"
CONF = "/etc/sysctl.d/90-aitrade.conf"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about a disk that loses what was not synced."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def states(tree: Tree) -> list[str]:
    return [run.state for run in history(tree, places_for(tree)).runs]


class Stubborn(Tree):
    """A host with a file that may not be taken away for the moment, as after `chattr +i`."""

    immutable = True

    def remove(self, name: str) -> None:
        if self.immutable and name == CONF:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        super().remove(name)


def test_an_undo_that_was_refused_is_said_again_once_the_obstacle_is_gone(tmp_path: Path) -> None:
    tree = Stubborn(debian(tmp_path / "host"))
    before = snapshot(tree.root)
    run_id = apply(tree).run_id or ""
    report = undo(tree)
    assert not report.passed
    assert [line.place for line in report.lines if line.outcome == "failed"] == [CONF]
    assert states(tree) == ["partly undone"]
    assert not undo(tree).passed  # the obstacle is still there
    tree.immutable = False
    assert undo(tree, run_id).passed
    assert snapshot(tree.root) == before
    assert states(tree) == ["undone"]
    with pytest.raises(AlreadyUndone):
        undo(tree, run_id)


def test_a_kernel_that_is_busy_once_takes_the_old_value_later(tmp_path: Path) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host"))
    before = kernel.meaning()
    apply(kernel)
    kernel.denied = frozenset((SWAPPINESS,))
    assert not undo(kernel).passed
    kernel.denied = frozenset()
    assert undo(kernel).passed
    assert kernel.meaning() == before


@pytest.mark.parametrize("kind", [Tree, MoodyKernel])
def test_a_coupled_partner_that_somebody_set_since_is_left_alone(
    tmp_path: Path, kind: type[Tree]
) -> None:
    tree = kind(debian(tmp_path / "host"))
    apply(tree, only=["vm.dirty_bytes"])
    tree.set_value("/proc/sys/vm/dirty_ratio", "30")  # makes dirty_bytes 0, as it was before
    report = undo(tree)
    assert tree.value("/proc/sys/vm/dirty_ratio") == "30"
    assert tree.value("/proc/sys/vm/dirty_bytes") == "0"
    (line,) = [one for one in report.lines if one.key == "vm.dirty_bytes"]
    assert (line.outcome, report.passed) == ("left alone", False)
    assert line.detail == "/proc/sys/vm/dirty_ratio is 30 now"


def test_kernel_values_on_trial_whose_holder_was_killed_read_as_cut_off(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    facts, before = read_facts(tree), snapshot(tree.root)
    plan = make_plan(facts)
    held = around_kernel(replace(plan, lines=kernel_lines(plan)), facts, places_for(tree))()
    held.__enter__()  # and never left: killed
    assert snapshot(tree.root) != before
    with pytest.raises(CutOff):
        apply(tree)
    assert undo(tree).passed
    assert snapshot(tree.root) == before
    held.__exit__(None, None, None)  # its own end finds it undone, and says nothing
    assert states(tree) == ["undone"]


def test_a_trial_that_is_told_to_end_puts_the_values_back(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    facts, before = read_facts(tree), snapshot(tree.root)
    plan = make_plan(facts)
    held = around_kernel(replace(plan, lines=kernel_lines(plan)), facts, places_for(tree))
    with pytest.raises(KeyboardInterrupt), held():
        os.kill(os.getpid(), 15)
    assert snapshot(tree.root) == before


def test_without_it_the_end_would_come_at_once() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with ended_as_by_ctrl_c():
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before
