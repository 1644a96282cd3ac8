"""Write a plan to a host: journal first, each write read back, a failure told for its key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from aitrade_cli import __version__
from aitrade_cli.errors import Missing, Refused
from aitrade_cli.system.tuning.changes import Blocked, Extent, Work, differs, work_of
from aitrade_cli.system.tuning.dropins import Places, forms_for
from aitrade_cli.system.tuning.journal import FORMAT, Change, Journal, locked, read_runs
from aitrade_cli.system.tuning.plan import Line, Plan, setting_of
from aitrade_cli.system.tuning.tree import Tree

Outcome = Literal[
    "applied",
    "clamped",  # the kernel took another value than the one written
    "already",  # nothing to do
    "failed",  # the kernel or the file system refused it
    "not permitted",
    "not ours",  # the file is somebody else's
    "set back later",  # in force now; another file wins at the next boot
    "lasts only in a file",  # `--runtime-only`, and a process has no runtime value
]
At = Callable[[str], None]
NOT_PERMITTED: Final = (PermissionError,)


class CutOff(Refused):
    """An earlier run was killed; what it began has to be undone first."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run `{run_id}` was cut off before its end",
            hint=f"undo it: aitrade tune-system --revert {run_id}",
        )


class CannotKeepJournal(Missing):
    """Nothing is written to a host whose journal has no place."""

    default_hint = "run as root, or give `--root` a folder that you own"


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

    JSON_PROPERTIES = ("exit_code",)

    @property
    def exit_code(self) -> int:
        """0 all applied, 1 something failed, 5 something was not permitted, 6 not ours."""
        found = {line.outcome for line in self.lines}
        if "not ours" in found:
            return 6
        if "not permitted" in found:
            return 5
        return 1 if found & {"failed", "set back later"} else 0


def nothing(_: str) -> None:
    """No hook."""


def new_id(now: datetime) -> str:
    """Sorts by time; the last digits tell two of one second apart."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def apply_plan(
    plan: Plan,
    tree: Tree,
    places: Places,
    *,
    now: datetime,
    boot_id: str = "",
    extent: Extent = "both",
    confirm_seconds: float | None = None,
    before_writes: Callable[[str], object] = lambda _: None,
    at: At = nothing,
) -> Outcomes:
    """Write what the plan would change.

    Args:
        plan: made for this tree.
        tree: the host.
        places: where its journal lies.
        now: time of the run, UTC; part of its id.
        boot_id: of the running kernel, whose values die with it.
        extent: values of the kernel only, files only, or both.
        confirm_seconds: recorded, so that anybody sees that the run waits for a yes.
        before_writes: called with the run's id once its journal is begun.
        at: called before and after each step with its name; the tests kill the process there.

    Raises:
        CutOff: an earlier run did not end.
        CannotKeepJournal: the journal's folder may not be written.
        Busy: another run is at work.
    """
    try:
        with locked(tree, places):
            runs = read_runs(tree, places)
            for run in runs:
                if run.state == "cut off":
                    raise CutOff(run.id)
            run_id = new_id(now)
            work = work_of(plan, tree, places, runs, run_id, extent)
            if not work.changes:
                return Outcomes(None, outcomes(plan, tree, places, {}, work, extent))
            journal = Journal(tree, places, run_id)
            begin(journal, plan, now, boot_id, confirm_seconds, at)
            before_writes(run_id)
            results = {change.number: make(change, tree, journal, at) for change in work.changes}
            journal.append("end")
            at("end")
            return Outcomes(run_id, outcomes(plan, tree, places, results, work, extent))
    except PermissionError as error:
        raise CannotKeepJournal(f"cannot write `{error.filename}`: {error.strerror}") from error


def begin(
    journal: Journal,
    plan: Plan,
    now: datetime,
    boot_id: str,
    confirm_seconds: float | None,
    at: At,
) -> None:
    at("before begin")
    journal.append(
        "begin",
        format=FORMAT,
        id=journal.id,
        at=now.isoformat(timespec="seconds"),
        version=__version__,
        purpose=plan.purpose,
        root=plan.root,
        user=os.getuid(),
        boot_id=boot_id,
        confirm_seconds=confirm_seconds,
    )
    at("begin")


def make(change: Change, tree: Tree, journal: Journal, at: At) -> Mapping[str, Any]:
    """One write, between its intent and its result in the journal."""
    journal.write(change.record)
    at(f"intent {change.number}")
    result: dict[str, Any] = {"outcome": "applied", "detail": "", "readback": None}
    try:
        write(change, tree)
    except OSError as error:
        result["outcome"] = "not permitted" if isinstance(error, NOT_PERMITTED) else "failed"
        result["detail"] = error.strerror or str(error)
    at(f"written {change.number}")
    if change.kind == "value":
        readback = tree.read(change.place)
        result["readback"] = None if readback is None else readback.decode(errors="replace")
        if result["outcome"] == "applied" and differs(readback, change.after):
            result["outcome"] = "clamped"
            result["detail"] = f"the kernel made it {tree.value(change.place)}"
    journal.append("done", number=change.number, **result)
    at(f"done {change.number}")
    return result


def write(change: Change, tree: Tree) -> None:
    match change.kind:
        case "folder":
            tree.locate(change.place).mkdir(exist_ok=True)
        case "value":
            tree.set_value(change.place, (change.after or b"").decode().strip())
        case "file" if change.after is None:
            tree.remove(change.place)
        case "file":
            tree.put(change.place, change.after or b"", change.mode, change.neighbour)


def outcomes(
    plan: Plan,
    tree: Tree,
    places: Places,
    results: Mapping[int, Mapping[str, Any]],
    work: Work,
    extent: Extent,
) -> tuple[Applied, ...]:
    """What became of every line that was to change, or may not."""
    by_place = {change.key: results.get(change.number, {}) for change in work.changes}
    lines = plan.of("change", "already", "not permitted")
    return tuple(outcome_of(line, tree, places, by_place, work.blocked, extent) for line in lines)


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
    for one in blocked:
        if line.key in one.keys:
            return replace(said, outcome="not ours", detail=f"{one.file} {one.why}")
    files = [places.file_of(form) for form in forms_for(tree, setting_of(line.key))]
    mine = [result for key, result in results.items() if key == line.key or key in files]
    if not mine and extent == "runtime":
        return replace(said, outcome="lasts only in a file", detail="see --emit")
    worst = next((one for one in mine if one["outcome"] in {"failed", "not permitted"}), None)
    worst = worst or next((one for one in mine if one["outcome"] == "clamped"), None)
    if worst:
        return replace(said, outcome=worst["outcome"], detail=worst["detail"])
    if line.set_later_by and extent != "runtime":
        return replace(said, outcome="set back later", detail=f"by {line.set_later_by}")
    return said
