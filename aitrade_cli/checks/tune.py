"""Proof of S7 to S9: the plan of `tune-system` in new processes, against the same twice."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from aitrade_cli.checks.fixtures import fixtures_folder
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.tune_namespace import private_network_keys_that_differ
from aitrade_cli.checks.tune_work import SHAPES
from aitrade_cli.errors import Missing
from aitrade_cli.system.host import usable_cores
from aitrade_cli.system.tuning.apply import apply_plan
from aitrade_cli.system.tuning.dropins import places_for
from aitrade_cli.system.tuning.facts import read_facts
from aitrade_cli.system.tuning.plan import make_plan
from aitrade_cli.system.tuning.revert import revert
from aitrade_cli.system.tuning.settings.kinds import PURPOSES, Purpose
from aitrade_cli.system.tuning.tree import Tree
from aitrade_cli.system.tuning.trials import Arm, Comparison, Sample, compare, median_of, race
from aitrade_cli.system.tuning.verify import verify

LEAST_BUDGET: Final = 2.0  # times, under a quota of half a core with two in sight
WORKER: Final = (sys.executable, "-P", "-m", "aitrade_cli.checks.tune_work")
THREADS: Final = {"OMP_NUM_THREADS": None, "MKL_NUM_THREADS": None, "OPENBLAS_NUM_THREADS": None}
ALLOCATOR: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "THP_MEM_ALLOC_ENABLE")
LEAST_ALLOCATOR: Final = 4.0
QUOTA_CORES: Final = 0.5
LEAST_KEYS: Final = 10  # of a purpose, on the copied tree
PERIOD_US: Final = 100_000
MOST_FAULTS: Final = 100  # a call; without the plan it is one for each page of 4 kB
WORKER_SECONDS: Final = 120.0
V2: Final = Path("/sys/fs/cgroup")


class NoAllocatorPlan(Missing):
    """The allocator's settings have no reader on this host."""


class WorkerFailed(Missing):
    """A process of the check did not give an answer."""


class StillNotAsBefore(Exception):
    """Stands for a kill in the rehearsal; never leaves this file."""


def allocator_plan_pays(quick: bool) -> CheckResult:
    """Large temporaries with the plan's variables, in new processes, against two without."""
    plan = make_plan(read_facts(Tree()), "train")
    wanted = {line.place: line.wanted for line in plan.of("change", "already")}
    variables = {name: wanted[name] for name in ALLOCATOR if wanted.get(name)}
    if "MALLOC_TRIM_THRESHOLD_" not in variables:
        raise NoAllocatorPlan("malloc is not glibc's here, or there is too little memory")
    kind = "plain-temporaries" if quick else "torch-temporaries"
    unset: dict[str, str | None] = dict.fromkeys(ALLOCATOR)
    one = {**unset, "OMP_NUM_THREADS": "1"}
    found = measure(kind, one, {**one, **variables}, seconds=0.15 if quick else 1.0)
    speed = judge(found, "cpu_seconds")
    faults = median_of(found["plan"], "minor_faults")
    return CheckResult(
        Measured(speedup=speed.ratio, speedup_low=speed.low, speedup_high=speed.high),
        (
            Bound("large temporaries", speed.high, LEAST_ALLOCATOR, "at_least", "times"),
            Bound("page faults a call", faults, MOST_FAULTS, "at_most", "faults"),
        ),
        f"{kind} of 34 MB, CPU time of a call; {told(speed, found)}",
        (case("without", found["base"]), case("with the plan", found["plan"])),
    )


def budget_pays_under_a_quota(quick: bool) -> CheckResult:
    """A loop of matrix products with as many threads as the quota is worth, against the default."""
    kind, seconds = ("numpy-products", 0.3) if quick else ("torch-products", 1.0)
    default: dict[str, str | None] = dict(THREADS)
    with private_quota() as group:
        if group is not None:
            place = f"a control group of {QUOTA_CORES:g} cores"
        else:
            # Threads for cores that are not there: what a neighbour's load does to a host.
            many = str(4 * len(usable_cores()))
            default |= {"OMP_NUM_THREADS": many, "OPENBLAS_NUM_THREADS": many}
            place = f"no control group may be made here, so {many} threads instead of a quota"
        budget = {**THREADS, "OMP_NUM_THREADS": "1"}
        groups = () if group is None else (str(group),)
        found = measure(kind, default, budget, *groups, seconds=seconds)
    speed, shape = judge(found, "wall_seconds"), "x".join(map(str, SHAPES[kind]))
    quota = group is not None and len(usable_cores()) > 1
    # How much is won is the host's and the product's: threads that wait for each other spin, and
    # burn the quota. See docs/explanation/tuning.md for large products, which win less.
    never_slower = Bound("thread budget", speed.high, 1.0, "at_least", "times")
    goal = Bound("thread budget", speed.high, LEAST_BUDGET, "at_least", "times")
    return CheckResult(
        Measured(speedup=speed.ratio, speedup_low=speed.low, speedup_high=speed.high),
        (never_slower,),
        f"{kind} of {shape}, {len(usable_cores())} cores visible, {place}; {told(speed, found)}",
        (case("default threads", found["base"]), case("one thread", found["plan"])),
        (goal,) if quota else (),
    )


def applied_and_undone(quick: bool) -> CheckResult:
    """Apply, verify and undo on copies of a host, cut off at many points: nothing differs after."""
    differs, unverified, cut, keys, undone = 0, 0, 0, 0, 0
    with tempfile.TemporaryDirectory(prefix="aitrade-check-") as folder:
        for purpose in PURPOSES:
            root = Path(folder) / purpose
            shutil.copytree(fixtures_folder() / "hosts" / "debian", root, symlinks=True)
            tree, before = Tree(root), contents(root)
            points = rehearse(tree, purpose)
            facts = read_facts(tree)
            report = verify(facts, make_plan(facts, purpose), places_for(tree))
            keys += len(report.lines)
            unverified += sum(line.standing == "drift" for line in report.lines)
            undone += revert(tree, places_for(tree)).passed
            differs += difference(before, contents(root))
            for point in points[:: 12 if quick else 1]:
                cut += 1
                rehearse(tree, purpose, point)
                undone += revert(tree, places_for(tree)).passed
                differs += difference(before, contents(root))
    private = private_network_keys_that_differ()
    bounds = [
        Bound("files that differ after undoing", differs, 0, "at_most", "files"),
        Bound("settings verified", keys, LEAST_KEYS * len(PURPOSES), "at_least", "settings"),
        Bound("settings not in force after applying", unverified, 0, "at_most", "settings"),
        Bound("undone without a failure told", undone, len(PURPOSES) + cut, "at_least", "runs"),
    ]
    if private is not None:
        bounds.append(Bound("real kernel's keys that differ", private, 0, "at_most", "keys"))
    where = "no private network namespace here" if private is None else "and a real kernel's keys"
    return CheckResult(
        Measured(),
        tuple(bounds),
        f"3 purposes on a copied tree, {keys} settings verified, cut off at {cut} points of the "
        f"journal; {where}; gains of these settings are none for computing",
    )


def measure(
    kind: str,
    base: Mapping[str, str | None],
    plan: Mapping[str, str | None],
    *groups: str,
    seconds: float,
) -> dict[str, list[Sample]]:
    """Five new processes for each of three arms, in random order."""
    arms = [Arm("base", base), Arm("again", base), Arm("plan", plan)]
    command = (*WORKER, kind, str(seconds), *groups)
    return race(arms, lambda arm: answer(command, arm), rounds=5)


def answer(command: Sequence[str], arm: Arm) -> Sample:
    environment = {**os.environ, **arm.environment}
    try:
        done = subprocess.run(
            command,
            env={name: value for name, value in environment.items() if value is not None},
            capture_output=True,
            text=True,
            timeout=WORKER_SECONDS,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise WorkerFailed(f"`{command[3]}` gave no answer: {error}") from error
    return Sample(found["wall_seconds"], found["cpu_seconds"], round(found["faults"]), 0)


def judge(found: Mapping[str, Sequence[Sample]], field: str) -> Comparison:
    times = {name: [getattr(one, field) for one in samples] for name, samples in found.items()}
    return compare(times["base"], times["again"], times["plan"])


def told(speed: Comparison, found: Mapping[str, Sequence[Sample]]) -> str:
    return (
        f"{len(found['base'])} restarts an arm in random order; base against base gave up to "
        f"{speed.band:.2f}x, the plan {speed.ratio:.2f}x ({speed.low:.2f}-{speed.high:.2f}): "
        f"{speed.standing}"
    )


def case(name: str, samples: Sequence[Sample]) -> Case:
    milliseconds = median_of(samples, "wall_seconds") * 1e3
    faults = median_of(samples, "minor_faults")
    return Case(name, None, None, f"{milliseconds:.2f} ms and {faults:,.0f} page faults a call")


@contextmanager
def private_quota() -> Iterator[Path | None]:
    """A control group with half a core, gone afterwards; `None` where none may be made."""
    group = None
    for parent in (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/cpu,cpuacct"), V2):
        group = make_group(parent / f"aitrade-check-{secrets.token_hex(4)}")
        if group is not None:
            break
    try:
        yield group
    finally:
        if group is not None:
            with suppress(OSError):
                group.rmdir()


def make_group(folder: Path) -> Path | None:
    limit = int(QUOTA_CORES * PERIOD_US)
    try:
        folder.mkdir()
    except OSError:
        return None
    try:
        if (folder / "cpu.max").exists():
            (folder / "cpu.max").write_text(f"{limit} {PERIOD_US}", encoding="ascii")
        else:
            period = folder / "cpu.cfs_period_us"
            period.write_text(str(PERIOD_US), encoding="ascii")
            (folder / "cpu.cfs_quota_us").write_text(str(limit), encoding="ascii")
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        return None
    return folder


def rehearse(tree: Tree, purpose: Purpose, stop_at: str | None = None) -> list[str]:
    """Apply, up to a point of the journal where one is given; the points that were reached."""
    seen: list[str] = []

    def at(point: str) -> None:
        seen.append(point)
        if point == stop_at:
            raise StillNotAsBefore

    plan = make_plan(read_facts(tree), purpose)
    with suppress(StillNotAsBefore):
        apply_plan(plan, tree, places_for(tree), now=datetime.now(UTC), at=at)
    return seen


def contents(root: Path) -> dict[str, bytes]:
    """Every file but the journals, by its path."""
    files = (path for path in root.rglob("*") if path.is_file())
    named = {path.relative_to(root).as_posix(): path for path in files}
    return {
        name: path.read_bytes()
        for name, path in named.items()
        if not name.startswith("var/lib/aitrade")
    }


def difference(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> int:
    return sum(before.get(name) != after.get(name) for name in before.keys() | after.keys())
