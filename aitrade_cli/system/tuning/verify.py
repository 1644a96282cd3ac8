"""Whether a host is as it should be, seen from inside a process that starts on it now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from aitrade_cli.system.tuning.dropins import (
    ENVIRONMENT,
    LIMITS,
    SYSCTL,
    Form,
    Places,
    entries_in,
    entry_key,
    forms_for,
    set_later,
)
from aitrade_cli.system.tuning.facts import Facts, ask_child
from aitrade_cli.system.tuning.in_files import in_force, kept_in_files
from aitrade_cli.system.tuning.journal import Change, Run, read_runs
from aitrade_cli.system.tuning.plan import IN_KERNEL, Plan, setting_of, target_of
from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.tree import Tree, canonical

Standing = Literal[
    "in force",
    "configured",  # written where it should be; its effect cannot be seen from here
    "drift",  # not as it should be
    "no reader",  # set, and nothing in the process reads it
    "set back later",  # in force now; another file wins at the next boot
]
FEW_FAULTS: Final = 100  # for each round of 48 MB, which is 12,000 pages of 4 kB
ONLY_GLIBC: Final = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


@dataclass(frozen=True, slots=True)
class Verified:
    """One setting as a new process finds it."""

    key: str
    standing: Standing
    wanted: str | None
    found: str | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `--verify` prints. ``run_ids`` are those whose promises were held against the host."""

    root: str
    run_ids: tuple[str, ...]
    lines: tuple[Verified, ...]
    waiting: tuple[str, ...]  # runs that were cut off, or wait for a yes

    JSON_PROPERTIES = ("passed", "exit_code")

    @property
    def passed(self) -> bool:
        """Everything is as wanted. What is set without a reader is told, and no drift."""
        bad = [line for line in self.lines if line.standing in {"drift", "set back later"}]
        return not bad and not self.waiting

    @property
    def exit_code(self) -> int:
        return 0 if self.passed else 1


def verify(facts: Facts, plan: Plan, places: Places) -> VerifyReport:
    """Hold the host against what was applied, or against the plan where nothing was.

    Starts one process with the environment file's variables, and asks it.

    Raises:
        JournalUnreadable: see `journal.read_runs`.
    """
    runs = [run for run in read_runs(facts.tree, places) if run.active]
    waiting = tuple(f"{run.id} is {run.state}" for run in runs if run.state != "in force")
    promised = promises(runs, places) if runs else wishes(plan)
    ours = entries_in(facts.tree, places, ENVIRONMENT)
    child = ask_child(ours, "--effects") if facts.tree.real_kernel else {}
    selected = {line.key for line in plan.lines}
    lines = [
        stand(key, wanted, facts, places, child)
        for key, wanted in promised.items()
        if key in selected
    ]
    lines = with_files(lines, plan, runs, facts.tree, places)
    lines += without_reader({**facts.environment, **ours}, facts, child)
    return VerifyReport(str(facts.tree.root), tuple(run.id for run in runs), tuple(lines), waiting)


def wishes(plan: Plan) -> dict[str, str | None]:
    """What the plan wants, where nothing was applied yet."""
    return {line.key: line.wanted for line in plan.of("change", "already")}


def promises(runs: Sequence[Run], places: Places) -> dict[str, str | None]:
    """What the runs that are in force wrote, by the key of its setting; later ones win.

    `None` for a variable that was taken out.
    """
    found: dict[str, str | None] = {}
    for run in runs:
        for change in run.changes:
            if not in_force(run, change):
                continue
            if change.kind == "value":
                shown = run.readback(change.number) or change.after or b""
                found[change.key] = canonical(shown.decode(errors="replace"))
            elif change.place == places.environment:
                found |= held_by(ENVIRONMENT, change)
            elif change.place == LIMITS.file:
                found |= held_by(LIMITS, change)
    return found


def with_files(
    lines: Sequence[Verified], plan: Plan, runs: Sequence[Run], tree: Tree, places: Places
) -> list[Verified]:
    """The lines, and those of settings whose file is gone or says something else: drift."""
    found = {line.key: line for line in lines}
    for kept in kept_in_files(plan, runs, tree, places):
        seen = found.get(kept.key)
        if kept.found != kept.wanted:
            detail = f"in {kept.file}: lost at the next boot"
            found[kept.key] = Verified(kept.key, "drift", kept.wanted, kept.found, detail)
        elif seen is None:  # written by `--persist`
            detail = "from the next boot on"
            found[kept.key] = Verified(kept.key, "configured", kept.wanted, kept.found, detail)
    return list(found.values())


def held_by(form: Form, change: Change) -> dict[str, str | None]:
    """Settings that a file holds after a change, and those that it held before and lost."""
    before, after = form.parse(change.before), form.parse(change.after)
    found: dict[str, str | None] = {}
    for setting in SETTINGS:
        mine = [
            entries[setting.place]
            for entries in (before, after)
            if setting.place in entries and form in (ENVIRONMENT, LIMITS)
        ]
        if mine and setting.allowed and setting.allowed.holds(mine[-1]):
            found[setting.id] = after.get(setting.place)
    return found


def stand(
    key: str, wanted: str | None, facts: Facts, places: Places, child: Mapping[str, Any]
) -> Verified:
    """How one setting stands."""
    setting, target = setting_of(key), target_of(key)
    if setting.backend in IN_KERNEL:
        found = facts.tree.value(setting.path(target))
        if found is None or wanted is None or canonical(found) != canonical(wanted):
            return Verified(key, "drift", wanted, found)
        later = (
            set_later(facts.tree, setting.place, wanted) if setting.backend == "sysctl" else None
        )
        kept = entries_in(facts.tree, places, SYSCTL)
        if later and setting.place in kept:
            return Verified(key, "set back later", wanted, found, f"by {later}")
        return Verified(key, "in force", wanted, found)
    form = forms_for(facts.tree, setting)[0]
    found = entries_in(facts.tree, places, form).get(entry_key(setting, target))
    if found != wanted:
        return Verified(key, "drift", wanted, found, f"in {places.file_of(form)}")
    if wanted is None:
        return Verified(key, "in force", None, None)
    standing, detail = effect(setting.place, wanted, child)
    return Verified(key, standing, wanted, found, detail)


def effect(place: str, wanted: str, child: Mapping[str, Any]) -> tuple[Standing, str]:
    """What a process that was started with the file's variables made of one of them."""
    if not child:
        return "configured", "not looked at from a process: this is a tree"
    if "failed" in child:
        return "drift", f"a process that starts with these variables {child['failed']}"
    if place in child.get("limits", {}):
        soft = child["limits"][place]
        if str(soft) == wanted:
            return "in force", "in a process started here"
        return "configured", f"{soft:,} in this session; from the next login on {wanted}"
    if place not in SEEN_BY:
        return "configured", "its effect cannot be seen from outside"
    found, said = SEEN_BY[place](child, wanted)
    return ("configured" if found is None else "in force" if found else "drift"), said


Seen: TypeAlias = tuple[bool | None, str]


def threads_seen(child: Mapping[str, Any], wanted: str) -> Seen:
    threads = child.get("threads")
    if threads is None:
        return None, "torch is not installed"
    return str(threads) == wanted, f"torch uses {threads} thread{'s' * (threads != 1)}"


def faults_seen(child: Mapping[str, Any], _: str) -> Seen:
    faults = child.get("faults_a_round")
    if faults is None:
        return None, "torch is not installed"
    return faults <= FEW_FAULTS, f"{faults:,} page faults for a round of large temporaries"


def huge_seen(child: Mapping[str, Any], _: str) -> Seen:
    huge = child.get("huge_kilobytes")
    if huge is None:
        return None, "this kernel does not count huge pages"
    return huge > 0, f"{huge:,} kB of huge pages behind tensors"


def preload_seen(child: Mapping[str, Any], wanted: str) -> Seen:
    name = wanted.rpartition("/")[2].partition(".so")[0]
    here = any(one.startswith(name) for one in child.get("mapped", ()))
    return here, f"{name} is {'mapped' if here else 'not mapped'}"


SEEN_BY: Final[Mapping[str, Callable[[Mapping[str, Any], str], Seen]]] = {
    "OMP_NUM_THREADS": threads_seen,
    **dict.fromkeys(ONLY_GLIBC, faults_seen),
    "THP_MEM_ALLOC_ENABLE": huge_seen,
    "LD_PRELOAD": preload_seen,
}


def without_reader(
    environment: Mapping[str, str], facts: Facts, child: Mapping[str, Any]
) -> list[Verified]:
    """Variables that are set and that nothing in the process reads."""
    mapped = child.get("mapped") or facts.mapped
    openmp = {name for name in mapped if "omp" in name}
    found = []
    for name, value in sorted(environment.items()):
        if name.startswith("KMP_") and openmp and all("gomp" in one for one in openmp):
            found.append(Verified(name, "no reader", value, None, "libgomp never reads it"))
        elif name in {"MKL_DEBUG_CPU_TYPE", "MKL_ENABLE_INSTRUCTIONS"}:
            found.append(Verified(name, "no reader", value, None, "dead since MKL 2020.1"))
        elif name in ONLY_GLIBC and any("malloc" in one for one in mapped):
            found.append(Verified(name, "no reader", value, None, "malloc is not glibc's"))
        elif name == "MALLOC_CONF" and not any("jemalloc" in one for one in mapped):
            found.append(Verified(name, "no reader", value, None, "jemalloc is not mapped"))
    return found
