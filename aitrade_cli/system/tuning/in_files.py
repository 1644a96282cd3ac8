"""What the files of earlier runs should hold, against what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.system.tuning.dropins import (
    SYSCTL,
    SYSTEMD,
    TMPFILES,
    UDEV,
    Places,
    entries_in,
    entry_key,
    forms_for,
)
from aitrade_cli.system.tuning.journal import Change, Run
from aitrade_cli.system.tuning.plan import Plan, setting_of, target_of
from aitrade_cli.system.tuning.tree import Tree

LOOKED_AT: Final = (SYSCTL, TMPFILES, UDEV, SYSTEMD)  # a process is asked for the others
TAKEN: Final = frozenset(("applied", "clamped"))
BACK: Final = frozenset(("restored", "as before"))


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry that a run wrote into a file, and the one that stands there now."""

    key: str
    file: str
    wanted: str
    found: str | None


def in_force(run: Run, change: Change) -> bool:
    """Whether a write was taken and not undone since."""
    taken = run.done.get(change.number, {}).get("outcome") in TAKEN
    return taken and run.undone.get(change.number) not in BACK


def kept_in_files(plan: Plan, runs: Sequence[Run], tree: Tree, places: Places) -> Iterator[Kept]:
    """Entries of the files that the runs in force wrote, for the settings of a plan."""
    written = {
        change.place: change.after
        for run in runs
        for change in run.changes
        if change.kind == "file" and in_force(run, change)
    }
    for line in plan.lines:
        setting = setting_of(line.key)
        for form in forms_for(tree, setting):
            if form not in LOOKED_AT or written.get(form.file) is None:
                continue
            entry = entry_key(setting, target_of(line.key))
            wanted = form.parse(written[form.file]).get(entry)
            if wanted is not None:
                found = entries_in(tree, places, form).get(entry)
                yield Kept(line.key, form.file, wanted, found)
