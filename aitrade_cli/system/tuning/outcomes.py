"""What became of each line of a plan that was applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from aitrade_cli.system.tuning.changes import Blocked, Extent
from aitrade_cli.system.tuning.dropins import Places, forms_for
from aitrade_cli.system.tuning.journal import read_run
from aitrade_cli.system.tuning.plan import Line, Plan, setting_of
from aitrade_cli.system.tuning.tree import Tree

Outcome = Literal[
    "applied",
    "clamped",  # the kernel took another value than the one written
    "already",  # nothing to do
    "failed",  # the kernel or the file system refused it
    "not permitted",
    "not ours",  # the file is somebody else's
    "not kept",  # in force until the next boot; the file that would keep it is somebody else's
    "set back later",  # in force now; another file wins at the next boot
    "waits for a yes",  # its file is written after it
    "lasts only in a file",  # `--runtime-only`, and a process has no runtime value
]
NOT_TAKEN: Final = frozenset(("failed", "not permitted"))
PENDING: Final[Mapping[str, Any]] = {"outcome": "waits for a yes", "detail": ""}


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one line of the plan."""

    key: str
    outcome: Outcome
    before: str | None
    wanted: str | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """One run of apply. ``run_id`` is `None` where there was nothing to write."""

    run_id: str | None
    lines: tuple[Applied, ...]
    blocked: tuple[Blocked, ...] = ()  # files of somebody else

    JSON_PROPERTIES = ("exit_code",)

    @property
    def exit_code(self) -> int:
        """0 all applied, 1 something failed, 5 something was not permitted, 6 not ours."""
        found = {line.outcome for line in self.lines}
        if found & {"not ours", "not kept"}:
            return 6
        if "not permitted" in found:
            return 5
        return 1 if found & {"failed", "set back later"} else 0


def outcomes(
    plan: Plan,
    tree: Tree,
    places: Places,
    results: Mapping[str, Mapping[str, Any]],
    blocked: Sequence[Blocked],
    extent: Extent,
) -> tuple[Applied, ...]:
    """What became of every line that was to change, or may not.

    Args:
        plan: what was wanted.
        tree: the host.
        places: where its files lie.
        results: of each write, by its key.
        blocked: files of somebody else.
        extent: how far the run went.
    """
    lines = plan.of("change", "already", "not permitted")
    return tuple(outcome_of(line, tree, places, results, blocked, extent) for line in lines)


def outcome_of(
    line: Line,
    tree: Tree,
    places: Places,
    results: Mapping[str, Mapping[str, Any]],
    blocked: Sequence[Blocked],
    extent: Extent,
) -> Applied:
    said = Applied(line.key, "applied", line.current, line.wanted)
    if line.decision != "change":
        outcome: Outcome = "already" if line.decision == "already" else "not permitted"
        detail = "" if line.decision == "already" else line.why
        return replace(said, outcome=outcome, detail=detail)
    files = files_of_line(line, tree, places)
    value = [result for key, result in results.items() if key == line.key]
    mine = [*value, *(result for key, result in results.items() if key in files)]
    worst = next((one for one in mine if one["outcome"] in NOT_TAKEN), None)
    foreign = next((one for one in blocked if line.key in one.keys), None)
    if worst is None and foreign is not None:
        kept: Outcome = "not kept" if value else "not ours"
        return replace(said, outcome=kept, detail=f"{foreign.file} {foreign.why}")
    if not mine and extent == "runtime":
        return replace(said, outcome="lasts only in a file", detail="see --emit")
    if not mine:  # its file says so already
        return replace(said, outcome="already")
    weaker = {"clamped"} if value else {PENDING["outcome"]}
    worst = worst or next((one for one in mine if one["outcome"] in weaker), None)
    if worst:
        return replace(said, outcome=worst["outcome"], detail=worst["detail"])
    later = line.set_later_by if extent != "runtime" else None
    return replace(said, outcome="set back later", detail=f"by {later}") if later else said


def settled(
    done: Outcomes, plan: Plan, tree: Tree, places: Places, extent: Extent = "both"
) -> Outcomes:
    """The outcomes again, read from the journal, once a waiting run was confirmed."""
    run = read_run(tree, places, done.run_id or "")
    results = {one.key: run.done[one.number] for one in run.changes if one.number in run.done}
    changes = plan.of("change")
    edited = tuple(
        Blocked(file, "was edited while the run waited", keys_in(file, changes, tree, places))
        for file in run.later
        if file not in results
    )
    blocked = (*done.blocked, *edited)
    lines = outcomes(plan, tree, places, results, blocked, extent)
    return replace(done, lines=lines, blocked=blocked)


def keys_in(file: str, lines: Sequence[Line], tree: Tree, places: Places) -> tuple[str, ...]:
    return tuple(line.key for line in lines if file in files_of_line(line, tree, places))


def files_of_line(line: Line, tree: Tree, places: Places) -> list[str]:
    return [places.file_of(form) for form in forms_for(tree, setting_of(line.key))]
