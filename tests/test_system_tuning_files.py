"""Files hold what was taken, say whose they are, and are looked after."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from aitrade_cli.system.tuning import facts as reading
from aitrade_cli.system.tuning import verify as verifying
from aitrade_cli.system.tuning.dropins import SYSCTL, TMPFILES, entries_in, places_for
from aitrade_cli.system.tuning.facts import ask_child, read_facts
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.verify import VerifyReport, verify
from aitrade_cli.system.tuning.views import ApplyReport, apply_words
from tests.test_system_tuning_apply import apply, outcome, undo
from tests.tuning_hosts import MoodyKernel, debian, snapshot

SWAPPINESS = "/proc/sys/vm/swappiness"
CONF = "etc/sysctl.d/90-aitrade.conf"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here is about a disk that loses what was not synced."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def checked(tree: Tree) -> VerifyReport:
    facts = read_facts(tree)
    return verify(facts, make_plan(facts), places_for(tree))


def drift(report: VerifyReport) -> set[str]:
    return {line.key for line in report.lines if line.standing == "drift"}


def test_a_refused_value_is_in_no_file(tmp_path: Path) -> None:
    kernel = MoodyKernel(debian(tmp_path / "host"))
    kernel.denied = frozenset((SWAPPINESS,))
    done = apply(kernel)
    assert outcome(done, "vm.swappiness") == "not permitted"
    kept = entries_in(kernel, places_for(kernel), SYSCTL)
    assert "vm.swappiness" not in kept
    assert kept["vm.max_map_count"] == "262144"


def test_a_choice_that_this_kernel_does_not_offer_is_in_no_file(tmp_path: Path) -> None:
    place = "sys/kernel/mm/transparent_hugepage/enabled"
    tree = Tree(debian(tmp_path / "host", {place: "always [never]\n"}))
    done = apply(tree)
    assert outcome(done, "thp.enabled") == "failed"
    assert f"/{place}" not in entries_in(tree, places_for(tree), TMPFILES)


def test_a_value_whose_file_is_not_ours_is_told_as_lasting_until_the_next_boot(
    tmp_path: Path,
) -> None:
    tree = Tree(debian(tmp_path / "host", {CONF: "vm.laptop_mode = 1\n"}))
    done = apply(tree, only=["vm.swappiness"])
    (line,) = [one for one in done.lines if one.key == "vm.swappiness"]
    assert (line.outcome, tree.value(SWAPPINESS), done.exit_code) == ("not kept", "10", 6)
    assert "is not aitrade's" in line.detail
    report = ApplyReport("/", "train", done, None, None, "")
    assert apply_words(report) == "1 setting applied, 1 of them until the next boot"
    assert undo(tree).passed


def test_persisting_twice_writes_once_and_says_so(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    assert outcome(apply(tree, extent="files"), "vm.swappiness") == "applied"
    again = apply(tree, extent="files")
    assert (again.run_id, outcome(again, "vm.swappiness")) == (None, "already")


@pytest.mark.parametrize(
    ("file", "key"),
    [
        (CONF, "vm.swappiness"),
        ("etc/tmpfiles.d/90-aitrade.conf", "cpu.governor:policy0"),
        ("etc/systemd/system.conf.d/90-aitrade.conf", "limit.nofile"),
    ],
)
@pytest.mark.parametrize("how", ["gone", "changed"])
def test_a_file_that_is_gone_or_changed_is_drift(
    tmp_path: Path, file: str, key: str, how: str
) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree)
    assert drift(checked(tree)) == set()
    path = tree.root / file
    if how == "gone":
        path.unlink()
    else:
        head, *_ = path.read_text().splitlines()
        path.write_text(f"{head}\nvm.swappiness = 60\n")
    report = checked(tree)
    assert not report.passed
    (line,) = [one for one in report.lines if one.key == key]
    assert line.standing == "drift"
    assert line.detail == f"in /{file}: lost at the next boot"


def test_what_was_only_persisted_is_looked_for_in_its_file(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree, extent="files", only=["vm"])
    report = checked(tree)
    found = {line.key: line.standing for line in report.lines}
    assert (found["vm.swappiness"], report.passed) == ("configured", True)
    (tree.root / CONF).unlink()
    assert "vm.swappiness" in drift(checked(tree))


def test_a_process_that_cannot_start_under_the_variables_is_drift(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = Tree(debian(tmp_path / "host"))
    apply(tree)
    dies = "import sys; sys.exit('wrong ELF class')"
    monkeypatch.setattr(reading, "CHILD", (sys.executable, "-c", dies))
    monkeypatch.setattr(Tree, "real_kernel", True)

    def stopped(*_: object) -> Mapping[str, object]:
        return ask_child({})

    monkeypatch.setattr(verifying, "ask_child", stopped)
    facts = replace(read_facts(Tree(debian(tmp_path / "twin"))), tree=tree)
    report = verify(facts, make_plan(facts), places_for(tree))
    (line,) = [one for one in report.lines if one.key == "env.OMP_NUM_THREADS"]
    assert line.standing == "drift"
    assert line.detail.endswith("ended by code 1; wrong ELF class")


@pytest.mark.parametrize(
    ("name", "text", "purpose", "key"),
    [
        (
            "proc/self/limits",
            "Max open files            256                  512                  files\n",
            "train",
            "limit.nofile",
        ),
        ("proc/sys/net/ipv4/tcp_rmem", "1024 131072 6291456\n", "feed", "net.ipv4.tcp_rmem"),
    ],
)
def test_a_host_whose_numbers_lead_out_of_a_range_still_has_a_plan(
    tmp_path: Path, name: str, text: str, purpose: str, key: str
) -> None:
    tree = Tree(debian(tmp_path / "host", {name: text}))
    before = snapshot(tree.root)
    plan = make_plan(read_facts(tree), "feed" if purpose == "feed" else "train")
    (line,) = [one for one in plan.lines if one.key == key]
    assert (line.decision, line.wanted) == ("leave", None)
    assert line.why
    assert plan.changes > 3
    apply(tree, "feed" if purpose == "feed" else "train")
    assert undo(tree).passed
    assert snapshot(tree.root) == before
