"""Kill `tune-system` at every point of its journal: undoing restores the host byte for byte.

python -m tests.soak.tune --seed 1

Every kill is a SIGKILL of a process of its own, at a named point or at a random moment, while
it applies or while it undoes. Backends: plain files, and a kernel that couples, clamps and refuses.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Final, Literal

from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import Facts, read_facts
from aitrade_cli.system.tuning.plan import Plan, make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.settings.kinds import PURPOSES, Purpose
from aitrade_cli.system.tuning.tree import Tree
from tests.tuning_hosts import DEBIAN, NUMA, MoodyKernel, debian, snapshot

NOW: Final = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
Backend = Literal["files", "kernel"]
BACKENDS: Final[tuple[Backend, ...]] = ("files", "kernel")
At = Callable[[str], None]
LONGEST_SECONDS: Final = 0.05  # about as long as one run takes


@dataclass(frozen=True, slots=True)
class Case:
    """One host to be killed on."""

    backend: Backend
    purpose: Purpose

    def build(self, folder: Path) -> Tree:
        root = debian(folder, NUMA)
        return Tree(root) if self.backend == "files" else MoodyKernel(root)

    def state(self, tree: Tree) -> object:
        """What has to be as before: bytes; a kernel's values by their meaning."""
        if isinstance(tree, MoodyKernel):
            return tree.meaning(), snapshot(tree.root / "etc")
        return snapshot(tree.root)


def points(case: Case, folder: Path) -> tuple[list[str], list[str]]:
    """Every named point of applying, and of undoing."""
    tree = case.build(folder)
    applied: list[str] = []
    undone: list[str] = []
    apply(tree, plan_of(tree, case), applied.append)
    undo(tree, undone.append)
    shutil.rmtree(folder)
    return applied, undone


def plan_of(tree: Tree, case: Case) -> Plan:
    facts: Facts = read_facts(tree)
    return make_plan(facts, case.purpose)


def apply(tree: Tree, plan: Plan, at: At) -> None:
    apply_plan(plan, tree, places_for(tree), now=NOW, at=at)


def undo(tree: Tree, at: At) -> None:
    revert(tree, places_for(tree), at=at)


def killed(work: Callable[[At], None], point: str | None, seconds: float = 0.0) -> bool:
    """Do the work in a process of its own and kill it at a point or moment; whether it was."""

    def at(reached: str) -> None:
        if reached == point:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            work(at)
        finally:
            os._exit(0)
    if point is None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def survives(
    case: Case,
    folder: Path,
    *,
    applying: str | None = None,
    undoing: str | None = None,
    seconds: tuple[float, float] | None = None,
    mend: bool = True,
) -> bool:
    """Kill once while applying, then once while undoing; whether all is as before in the end."""
    tree = case.build(folder)
    before, plan = case.state(tree), plan_of(tree, case)
    try:
        early, late = seconds or (0.0, 0.0)
        if applying or seconds:
            killed(lambda at: apply(tree, plan, at), applying, early)
        else:
            apply(tree, plan, lambda _: None)
        if mend:
            if undoing or seconds:
                killed(lambda at: undo(tree, at), undoing, late)
            undo(tree, lambda _: None)
        return case.state(tree) == before
    finally:
        shutil.rmtree(folder)


def run(cases: Sequence[Case], folder: Path, *, every: int, moments: int, seed: int) -> list[str]:
    """The kills after which a host was not as before, of every n-th point and some moments."""
    random, failed = Random(seed), []
    for case in cases:
        applied, undone = points(case, folder / "host")
        offset = random.randrange(every)
        failed += [
            f"{case}: applying, {point}"
            for point in applied[offset::every]
            if not survives(case, folder / "host", applying=point)
        ]
        failed += [
            f"{case}: undoing, {point}"
            for point in undone[offset::every]
            if not survives(case, folder / "host", undoing=point)
        ]
        for _ in range(moments):
            seconds = (random.uniform(0, LONGEST_SECONDS), random.uniform(0, LONGEST_SECONDS))
            if not survives(case, folder / "host", seconds=seconds):
                failed.append(f"{case}: after {seconds} s")
    return failed


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take each n-th point")
    parser.add_argument("--moments", type=int, default=200, help="random moments a case")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    assert DEBIAN.is_dir()
    cases = [Case(backend, purpose) for backend in BACKENDS for purpose in PURPOSES]
    with tempfile.TemporaryDirectory() as folder:
        failed = run(cases, Path(folder), every=asked.every, moments=asked.moments, seed=asked.seed)
        counts = [len(one) for case in cases for one in points(case, Path(folder) / "host")]
    sys.stdout.writelines(f"not as before: {one}\n" for one in failed)
    kills = sum(-(-count // asked.every) for count in counts) + asked.moments * len(cases)
    sys.stdout.write(f"{kills} kills on {len(cases)} hosts, {len(failed)} not as before\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
