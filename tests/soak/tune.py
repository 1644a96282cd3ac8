"""Kill `tune-system` at every point of its journal: undoing restores the host byte for byte.

python -m tests.soak.tune --seed 1

A hundred comparisons of a real command with itself follow: five at the most may be called a gain.

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
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random
from typing import Final, Literal

from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.confirm import confirm
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import Facts, read_facts
from aitrade_cli.system.tuning.plan import Plan, make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.settings.kinds import PURPOSES, Purpose
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.trials import gains_of_identical_pairs
from tests.tuning_hosts import DEBIAN, NUMA, MoodyKernel, debian, snapshot

NOW: Final = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
Backend = Literal["files", "kernel"]
BACKENDS: Final[tuple[Backend, ...]] = ("files", "kernel")
At = Callable[[str], None]
MOST_GAINS: Final = 0.05  # of comparisons of a command with itself
BEYOND: Final = 1.1  # of a run's length: moments up to its very end, and just after it
LENGTHS: Final = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One host to be killed on; with ``waits`` its files are written after a yes."""

    backend: Backend
    purpose: Purpose
    waits: bool = False

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
    apply(tree, plan_of(tree, case), applied.append, waits=case.waits)
    undo(tree, undone.append)
    shutil.rmtree(folder)
    return applied, undone


def plan_of(tree: Tree, case: Case) -> Plan:
    facts: Facts = read_facts(tree)
    return make_plan(facts, case.purpose)


def apply(tree: Tree, plan: Plan, at: At, *, waits: bool) -> None:
    places = places_for(tree)
    seconds = 60.0 if waits else None
    done = apply_plan(plan, tree, places, now=NOW, confirm_seconds=seconds, at=at)
    if waits:
        confirm(tree, places, done.run_id, at=at)


def undo(tree: Tree, at: At) -> bool:
    """Whether the report calls everything as it was."""
    return revert(tree, places_for(tree), at=at).passed


def killed(work: Callable[[At], object], point: str | None, seconds: float = 0.0) -> bool:
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


def lengths(case: Case, folder: Path) -> tuple[float, float]:
    """Seconds that applying and undoing take in a process of their own, untouched.

    The shortest of some runs: a neighbour makes one long, and most moments would miss.
    """
    applied, undone = zip(*(length(case, folder) for _ in range(LENGTHS)), strict=True)
    return min(applied), min(undone)


def length(case: Case, folder: Path) -> tuple[float, float]:
    tree = case.build(folder)
    plan = plan_of(tree, case)
    started = time.perf_counter()
    killed(lambda at: apply(tree, plan, at, waits=case.waits), "never")
    applied = time.perf_counter()
    killed(lambda at: undo(tree, at), "never")
    undone = time.perf_counter()
    shutil.rmtree(folder)
    return applied - started, undone - applied


@dataclass(frozen=True, slots=True)
class Kill:
    """Where one host is killed: at points by name, or after so many seconds."""

    applying: str | None = None
    undoing: str | None = None
    seconds: tuple[float, float] | None = None

    def __str__(self) -> str:
        named = {"applying": self.applying, "undoing": self.undoing, "after s": self.seconds}
        return ", ".join(f"{name} {value}" for name, value in named.items() if value)


@dataclass(slots=True)
class Tally:
    """What came of all kills."""

    hit: int = 0  # processes that were dead before their work was done
    missed: int = 0  # moments that came after the end
    failed: list[str] = field(default_factory=list[str])

    def note(self, dead: bool) -> None:
        self.hit += dead
        self.missed += not dead


def survives(case: Case, folder: Path, kill: Kill, tally: Tally, *, mend: bool = True) -> bool:
    """Kill once while applying, then once while undoing; whether all is as before in the end."""
    tree = case.build(folder)
    before, plan = case.state(tree), plan_of(tree, case)
    try:
        early, late = kill.seconds or (0.0, 0.0)
        if kill.applying or kill.seconds:
            work = partial(apply, tree, plan, waits=case.waits)
            tally.note(killed(work, kill.applying, early))
        else:
            apply(tree, plan, lambda _: None, waits=case.waits)
        passed = True
        if mend:
            if kill.undoing or kill.seconds:
                tally.note(killed(lambda at: undo(tree, at), kill.undoing, late))
            passed = undo(tree, lambda _: None)
        return passed and case.state(tree) == before
    finally:
        shutil.rmtree(folder)


def run(cases: Sequence[Case], folder: Path, *, every: int, moments: int, seed: int) -> Tally:
    """Kill at every n-th point and at some moments of each case."""
    random, tally = Random(seed), Tally()
    for case in cases:
        applied, undone = points(case, folder / "host")
        offset = random.randrange(every)
        kills = [Kill(applying=point) for point in applied[offset::every]]
        kills += [Kill(undoing=point) for point in undone[offset::every]]
        early, late = (BEYOND * one for one in lengths(case, folder / "host"))
        kills += [
            Kill(seconds=(random.uniform(0, early), random.uniform(0, late)))
            for _ in range(moments)
        ]
        tally.failed += [
            f"{case}: {kill}" for kill in kills if not survives(case, folder / "host", kill, tally)
        ]
    return tally


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--every", type=int, default=1, help="take each n-th point")
    parser.add_argument("--moments", type=int, default=200, help="random moments a case")
    parser.add_argument("--pairs", type=int, default=100, help="comparisons with itself")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    assert DEBIAN.is_dir()
    cases = [Case(backend, purpose) for backend in BACKENDS for purpose in PURPOSES]
    cases += [Case(backend, "train", waits=True) for backend in BACKENDS]
    with tempfile.TemporaryDirectory() as folder:
        tally = run(cases, Path(folder), every=asked.every, moments=asked.moments, seed=asked.seed)
    sys.stdout.writelines(f"not as before: {one}\n" for one in tally.failed)
    sys.stdout.write(
        f"{tally.hit} kills on {len(cases)} hosts, {len(tally.failed)} not as before; "
        f"{tally.missed} moments came after the end\n"
    )
    return 1 if tally.failed or not honest(asked.pairs, asked.seed) else 0


def honest(pairs: int, seed: int) -> bool:
    """Whether few enough of a real command's comparisons with itself are called a gain."""
    if not pairs:
        return True
    gains, most = gains_of_identical_pairs(pairs, seed=seed), MOST_GAINS * pairs
    sys.stdout.write(f"{gains} of {pairs} identical pairs called a gain, at most {most:g}\n")
    return gains <= most


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
