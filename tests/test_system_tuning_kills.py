"""Killed at points of its journal, a host is as before once the run is undone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import RevertReport, revert
from aitrade_cli.system.tuning.tree import Tree
from tests.shell import ROOT, surroundings
from tests.soak import tune
from tests.soak.tune import NOW, Case, Kill, Tally, survives
from tests.tuning_hosts import debian

# A process of its own: forking this one would fork torch's threads and the test runner.
SAMPLE = (
    sys.executable,
    "-m",
    "tests.soak.tune",
    "--every",
    "31",
    "--moments",
    "1",
    "--pairs",
    "0",
    "--seed",
    "3",
)


def test_a_sample_of_all_points_and_moments_is_survived() -> None:
    # A kill takes nothing from a file system in memory either, and nothing waits for a disk there.
    memory = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    done = subprocess.run(
        SAMPLE, cwd=ROOT, env=surroundings() | memory, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "0 not as before" in done.stdout


def test_a_host_that_is_not_mended_would_be_noticed(tmp_path: Path) -> None:
    assert not survives(Case("files", "train"), tmp_path / "host", Kill(), Tally(), mend=False)


def test_an_undo_that_calls_itself_failed_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RevertReport, "passed", False)
    assert not survives(Case("files", "train"), tmp_path / "host", Kill(), Tally())


@pytest.mark.parametrize(("gains", "well"), [(5, True), (6, False)])
def test_the_soak_would_notice_a_dishonest_comparison(
    monkeypatch: pytest.MonkeyPatch, gains: int, well: bool
) -> None:
    monkeypatch.setattr(tune, "gains_of_identical_pairs", lambda *_, **__: gains)
    assert tune.honest(100, 1) is well


IN_A_NAMESPACE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.tree import Tree

keys = [f"/proc/sys/net/ipv4/tcp_{name}" for name in ("rmem", "wmem")]
for key in keys:
    Path(key).write_text("4096 65536 1048576")
tree = Tree(Path(sys.argv[1]), kernel=Path("/"))
plan = make_plan(read_facts(tree), "feed", only=["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"])
done = apply_plan(plan, tree, places_for(tree), now=datetime.now(UTC))
print([line.outcome for line in done.lines], [tree.value(key) for key in keys])
print(revert(tree, places_for(tree)).passed, [tree.value(key) for key in keys])
"""


def namespace(*words: str) -> list[str] | None:
    """A command in network namespaces of its own, where this kernel gives them."""
    for flags in ("-Urn", "-n"):
        try:
            tried = subprocess.run(
                ["unshare", flags, "test", "-w", "/proc/sys/net/ipv4/tcp_rmem"],
                capture_output=True,
                check=False,
            )
        except OSError:
            return None
        if tried.returncode == 0:
            return ["unshare", flags, *words]
    return None


def test_a_real_kernel_takes_and_gives_back_its_network_values(tmp_path: Path) -> None:
    root = debian(tmp_path / "host")
    command = namespace(sys.executable, "-c", IN_A_NAMESPACE, str(root))
    if command is None:
        pytest.skip("this kernel gives no private network namespace")
    outside = Path("/proc/sys/net/ipv4/tcp_rmem").read_text()
    done = subprocess.run(
        command, cwd=ROOT, env=surroundings(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    applied, undone = done.stdout.splitlines()
    assert applied == ("['applied', 'applied'] ['4096 65536 16777216', '4096 65536 16777216']")
    assert undone == "True ['4096 65536 1048576', '4096 65536 1048576']"
    assert Path("/proc/sys/net/ipv4/tcp_rmem").read_text() == outside
    assert not (root / "etc/sysctl.d/90-aitrade.conf").exists()


def test_a_value_of_the_running_kernel_is_written_and_not_a_file(tmp_path: Path) -> None:
    tree = Tree(debian(tmp_path / "host"), kernel=Path("/"))
    if not Path("/proc/sys/vm/swappiness").exists():
        pytest.skip("no Linux kernel here")
    assert tree.in_kernel("/proc/sys/vm/swappiness")
    assert not tree.in_kernel("/etc/os-release")
    assert tree.locate("/proc/sys/vm/swappiness") == Path("/proc/sys/vm/swappiness")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change the owner of a process")
def test_a_user_without_rights_is_told_which_keys_are_not_permitted(tmp_path: Path) -> None:
    code = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from aitrade_cli.system.tuning.tree import Tree\n"
        "print(Tree().why_not_writable('/proc/sys/vm/swappiness', rewrite=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip("the package cannot be read by another user here")
    assert done.stdout.strip() in {"Permission denied", "Read-only file system"}


def test_kernel_and_files_of_one_host_may_lie_apart(tmp_path: Path) -> None:
    files, kernel = debian(tmp_path / "files"), debian(tmp_path / "kernel")
    tree = Tree(files, kernel=kernel)
    plan = make_plan(read_facts(tree), only=["vm.swappiness"])
    apply_plan(plan, tree, places_for(tree), now=NOW)
    assert (kernel / "proc/sys/vm/swappiness").read_text() == "10\n"
    assert (files / "proc/sys/vm/swappiness").read_text() == "60\n"
    assert (files / "etc/sysctl.d/90-aitrade.conf").exists()
    assert revert(tree, places_for(tree)).passed
