"""Put a host back as a run found it, the newest write first; leave what others changed since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aitrade_cli.errors import Refused
from aitrade_cli.system.tuning.apply import At, nothing
from aitrade_cli.system.tuning.changes import differs
from aitrade_cli.system.tuning.dropins import Places
from aitrade_cli.system.tuning.journal import (
    Change,
    Journal,
    NoSuchRun,
    Run,
    locked,
    read_run,
    read_runs,
)
from aitrade_cli.system.tuning.tree import Tree, canonical

Undoing = Literal[
    "restored",
    "as before",  # it already is what it was
    "left alone",  # somebody changed it since
    "failed",  # the kernel refuses the value that was there
]
ALL: Final = "all"


class BuiltUpon(Refused):
    """A later run changed the same places; it has to be undone first."""

    def __init__(self, run_id: str, later: str) -> None:
        super().__init__(
            f"run `{later}` came after `{run_id}` and changed the same places",
            hint=f"undo it first: aitrade tune-system --revert {later}",
        )


class AlreadyUndone(Refused):
    """The run was undone before; undoing it again could only do harm."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What became of one write."""

    key: str
    place: str
    outcome: Undoing
    now: str | None  # what stands there afterwards; `None` for a file and for nothing
    detail: str = ""


@dataclass(frozen=True, slots=True)
class RevertReport:
    """What `--revert` prints."""

    root: str
    run_ids: tuple[str, ...]
    lines: tuple[Undone, ...]

    JSON_PROPERTIES = ("passed", "exit_code")

    @property
    def passed(self) -> bool:
        """Everything is as it was before."""
        return all(line.outcome in {"restored", "as before"} for line in self.lines)

    @property
    def exit_code(self) -> int:
        return 0 if self.passed else 1


def revert(
    tree: Tree, places: Places, asked: str | None = None, *, at: At = nothing
) -> RevertReport:
    """Undo one run.

    Args:
        tree: the host.
        places: where its journal lies.
        asked: the run's id, `all` for every one that is in force, else the newest of those.
        at: called at each step, see `apply.apply_plan`.

    Raises:
        BuiltUpon: a later run changed the same places.
        AlreadyUndone: it was undone before.
        NoSuchRun: there is none of that id.
        Busy: another run is at work.
    """
    if not tree.exists(places.state):
        if asked not in {None, ALL}:
            raise NoSuchRun(f"there is no run `{asked}`")
        return RevertReport(str(tree.root), (), ())
    with locked(tree, places):
        runs = read_runs(tree, places)
        chosen = choose(runs, asked, tree, places)
        lines = [line for run in chosen for line in undo(run, tree, places, at)]
    return RevertReport(str(tree.root), tuple(run.id for run in chosen), tuple(lines))


def choose(runs: Sequence[Run], asked: str | None, tree: Tree, places: Places) -> list[Run]:
    """Runs to undo, the newest first."""
    active = [run for run in reversed(runs) if run.active]
    if asked is None:
        return active[:1]
    if asked == ALL:
        return active
    run = read_run(tree, places, asked)
    if not run.active:
        raise AlreadyUndone(f"run `{asked}` was undone before")
    mine = {change.place for change in run.changes}
    for later in active:
        shared = mine & {change.place for change in later.changes if change.kind != "folder"}
        if later.id > run.id and shared:
            raise BuiltUpon(run.id, later.id)
    return [run]


def undo(run: Run, tree: Tree, places: Places, at: At = nothing) -> list[Undone]:
    """Undo one run, whose lock is held. Where a write is refused it stays to be undone again."""
    journal = Journal(tree, places, run.id)
    lines = []
    for change in reversed(run.changes):
        at(f"before undo {change.number}")
        line = undo_one(change, run, tree)
        at(f"undone {change.number}")
        journal.append("undone", number=change.number, outcome=line.outcome, detail=line.detail)
        at(f"recorded {change.number}")
        lines.append(line)
    failed = any(line.outcome == "failed" for line in lines)
    journal.append("refused" if failed else "reverted")
    at("reverted")
    return lines


def undo_one(change: Change, run: Run, tree: Tree) -> Undone:
    try:
        outcome, detail = UNDO[change.kind](change, run, tree)
    except OSError as error:
        outcome, detail = "failed", error.strerror or str(error)
    now = tree.value(change.place) if change.kind == "value" else None
    return Undone(change.key, change.place, outcome, now, detail)


def undo_value(change: Change, run: Run, tree: Tree) -> tuple[Undoing, str]:
    tree.tidy(change.place)
    if change.partner:
        tree.tidy(change.partner)
    now = tree.read(change.place)
    if change.partner and not differs(now, change.before) and partner_of_another(change, tree):
        return "left alone", f"{change.partner} is {tree.value(change.partner)} now"
    if tree.in_kernel(change.place):
        if not differs(now, change.before) and partner_as_before(change, tree):
            return "as before", ""
    elif now == change.before and partner_as_before(change, tree):
        return "as before", ""
    shown = run.readback(change.number)
    if differs(now, change.after) and differs(now, shown) and differs(now, change.before):
        return "left alone", f"now {canonical((now or b'').decode(errors='replace'))}"
    put_back(change, tree)
    if tree.in_kernel(change.place) and differs(tree.read(change.place), change.before):
        return "failed", f"the kernel made it {tree.value(change.place)}"
    return "restored", ""


def partner_as_before(change: Change, tree: Tree) -> bool:
    if change.partner is None:
        return True
    now = tree.read(change.partner)
    if tree.in_kernel(change.partner):
        return not differs(now, change.partner_before)
    return now == change.partner_before


def partner_of_another(change: Change, tree: Tree) -> bool:
    """Whether somebody set the coupled value since, which made this one what it was before."""
    now = tree.read(change.partner or "")
    return all(differs(now, ours) for ours in (change.partner_before, b"0"))


def put_back(change: Change, tree: Tree) -> None:
    """Give a value what it was; of two coupled ones, the one that was not 0."""
    assert change.before is not None  # a value that was absent is never changed
    if not tree.in_kernel(change.place):
        if change.partner and change.partner_before is not None:
            tree.put(change.partner, change.partner_before)
        tree.put(change.place, change.before)
        return
    before = canonical(change.before.decode(errors="replace"))
    partner = canonical((change.partner_before or b"").decode(errors="replace"))
    if change.partner and before == "0" and partner not in {"", "0"}:
        tree.set_value(change.partner, partner)
    else:
        tree.set_value(change.place, before)


def undo_file(change: Change, _: Run, tree: Tree) -> tuple[Undoing, str]:
    if change.neighbour:
        folder = change.place.rpartition("/")[0]
        tree.remove(f"{folder}/{change.neighbour}")
    now = tree.read(change.place)
    if now == change.before:
        return "as before", ""
    if now != change.after:
        return "left alone", "edited since"
    if change.before is None:
        tree.remove(change.place)
    else:
        tree.put(change.place, change.before, change.mode, change.neighbour)
    return "restored", ""


def undo_folder(change: Change, _: Run, tree: Tree) -> tuple[Undoing, str]:
    path = tree.locate(change.place)
    if not path.is_dir():
        return "as before", ""
    try:
        path.rmdir()
    except OSError:
        return "as before", "others use it now"
    return "restored", ""


UNDO: Final = {"value": undo_value, "file": undo_file, "folder": undo_folder}
