"""Write a plan to a host: journal first, each write read back, a failure told for its key."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from aitrade_cli import __version__
from aitrade_cli.errors import Missing, Refused
from aitrade_cli.system.tuning.changes import (
    Extent,
    Files,
    differs,
    files_of,
    why_not_ours,
    work_of,
)
from aitrade_cli.system.tuning.dropins import Places
from aitrade_cli.system.tuning.journal import (
    FORMAT,
    Change,
    Journal,
    Run,
    locked,
    packed,
    read_runs,
)
from aitrade_cli.system.tuning.outcomes import NOT_TAKEN, PENDING, Outcomes, outcomes
from aitrade_cli.system.tuning.plan import Plan
from aitrade_cli.system.tuning.tree import Tree

At = Callable[[str], None]
NOT_PERMITTED: Final = (PermissionError,)


class CutOff(Refused):
    """An earlier run was killed; what it began has to be undone first."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run `{run_id}` was cut off before its end",
            hint=f"undo it: aitrade tune-system --revert {run_id}",
        )


class WaitsForYes(Refused):
    """An earlier run waits to be confirmed; what came on top of it could not be undone with it."""

    def __init__(self, run_id: str) -> None:
        super().__init__(
            f"run `{run_id}` waits for a yes",
            hint=f"aitrade tune-system --confirm {run_id}, or --revert {run_id}",
        )


class CannotKeepJournal(Missing):
    """Nothing is written to a host whose journal has no place."""

    default_hint = "run as root, or give `--root` a folder that you own"


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
    trial: bool = False,
    at: At = nothing,
) -> Outcomes:
    """Write what the plan would change: values first, then the files that keep those taken.

    Where a yes is waited for, only the values: `write_later` writes the files after it, so that
    a restart meanwhile brings the host back as it was.

    Args:
        plan: made for this tree.
        tree: the host.
        places: where its journal lies.
        now: time of the run, UTC; part of its id.
        boot_id: of the running kernel, whose values die with it.
        extent: values of the kernel only, files only, or both.
        confirm_seconds: recorded, so that anybody sees that the run waits for a yes.
        before_writes: called with the run's id once its journal is begun.
        trial: the caller undoes it at once, so it reads as cut off where the caller was killed.
        at: called before and after each step with its name; the tests kill the process there.

    Raises:
        CutOff: an earlier run did not end.
        WaitsForYes: an earlier run is not confirmed.
        CannotKeepJournal: the journal's folder may not be written.
        Busy: another run is at work.
    """
    try:
        with locked(tree, places):
            runs = read_runs(tree, places)
            refuse_unfinished(runs)
            run_id = new_id(now)
            work = work_of(plan, tree, places, runs, run_id, extent)
            if not work.changes:
                return Outcomes(None, outcomes(plan, tree, places, {}, work.blocked, extent))
            journal = Journal(tree, places, run_id)
            begin(journal, plan, now, boot_id, confirm_seconds, at)
            before_writes(run_id)
            values = [change for change in work.changes if change.kind == "value"]
            results = {change.key: make(change, tree, journal, at) for change in values}
            files = Files((), ())
            if extent != "runtime":
                refused = {key for key, one in results.items() if one["outcome"] in NOT_TAKEN}
                files = files_of(plan, tree, places, runs, run_id, refused)
            if confirm_seconds is None:
                for change in files.changes(tree, run_id, len(values)):
                    results[change.key] = make(change, tree, journal, at)
                end(journal, at, trial=trial)
            else:
                wait(journal, files, at)
                results |= {file: PENDING for file, _ in files.wanted}
            return Outcomes(
                run_id, outcomes(plan, tree, places, results, files.blocked, extent), files.blocked
            )
    except PermissionError as error:
        raise CannotKeepJournal(f"cannot write `{error.filename}`: {error.strerror}") from error


def refuse_unfinished(runs: Sequence[Run]) -> None:
    """Raise where a run has to be undone or confirmed before another may come.

    Raises:
        CutOff: a run did not end.
        WaitsForYes: a run is not confirmed.
    """
    for run in runs:
        if run.state == "cut off":
            raise CutOff(run.id)
        if run.state == "unconfirmed":
            raise WaitsForYes(run.id)


def end(journal: Journal, at: At, *, trial: bool) -> None:
    if not trial:
        journal.append("end")
        at("end")


def wait(journal: Journal, files: Files, at: At) -> None:
    """Note the files for whoever says yes, which may be another process."""
    for file, data in files.wanted:
        journal.append("later", place=file, after=packed(data))
        at(f"later {file}")
    journal.append("waiting")
    at("waiting")


def write_later(run: Run, tree: Tree, places: Places, at: At = nothing) -> None:
    """Write the files of a run that was confirmed, whose lock is held, and end it."""
    journal = Journal(tree, places, run.id)
    runs = read_runs(tree, places)
    ours = [one for one in run.later.items() if not why_not_ours(tree, one[0], runs)]
    for change in Files(tuple(ours), ()).changes(tree, run.id, len(run.changes)):
        make(change, tree, journal, at)
    end(journal, at, trial=False)


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
