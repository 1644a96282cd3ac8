"""From a plan to single writes: values of the kernel, folders, files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from aitrade_cli.system.tuning.dropins import (
    ENVIRONMENT,
    FORMS,
    Form,
    Places,
    entries_in,
    entry_key,
    forms_for,
    is_ours,
    measured_in,
)
from aitrade_cli.system.tuning.journal import Change, Run
from aitrade_cli.system.tuning.plan import (
    IN_KERNEL,
    UNSET,
    Line,
    NotAllowed,
    Plan,
    setting_of,
    target_of,
)
from aitrade_cli.system.tuning.tree import PARTNERS, Tree, canonical

Extent = Literal["both", "runtime", "files"]


@dataclass(frozen=True, slots=True)
class Blocked:
    """A file that is somebody else's, and the lines that cannot be kept without it."""

    file: str
    why: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """Everything that one run writes, in order."""

    changes: tuple[Change, ...]
    blocked: tuple[Blocked, ...]


def work_of(
    plan: Plan, tree: Tree, places: Places, runs: Sequence[Run], run_id: str, extent: Extent
) -> Work:
    """List the writes of a plan, the values first. Files are listed anew once values were tried.

    Raises:
        NotAllowed: a value lies outside its setting's range.
    """
    lines = plan.of("change")
    for line in lines:
        check_allowed(line)
    changes = [] if extent == "files" else list(value_changes(lines, tree))
    numbered = tuple(replace(change, number=at) for at, change in enumerate(changes, start=1))
    files = Files((), ()) if extent == "runtime" else files_of(plan, tree, places, runs, run_id)
    return Work((*numbered, *files.changes(tree, run_id, len(numbered))), files.blocked)


@dataclass(frozen=True, slots=True)
class Files:
    """Files to write, by name, with their content; `None` takes one away."""

    wanted: tuple[tuple[str, bytes | None], ...]
    blocked: tuple[Blocked, ...]

    def changes(self, tree: Tree, run_id: str, after: int) -> tuple[Change, ...]:
        """Their writes, folders first, numbered from ``after`` on."""
        found = [one for file in self.wanted for one in file_changes(*file, tree, run_id)]
        return tuple(
            replace(change, number=at) for at, change in enumerate(unique(found), start=after + 1)
        )


def files_of(
    plan: Plan,
    tree: Tree,
    places: Places,
    runs: Sequence[Run],
    run_id: str,
    refused: Collection[str] = (),
) -> Files:
    """The files that make a plan last; without the values that were ``refused``, by their keys."""
    lines = [line for line in plan.of("change") if line.key not in refused]
    lasting = [*lines, *set_by_us_before(plan, runs)]
    wanted: list[tuple[str, bytes | None]] = []
    blocked: list[Blocked] = []
    for form in FORMS:
        entries, keys = entries_wanted(form, lasting, tree, places)
        file = places.file_of(form)
        if not keys or entries == entries_in(tree, places, form):
            continue
        if reason := why_not_ours(tree, file, runs):
            blocked.append(Blocked(file, reason, tuple(keys)))
            continue
        measured = (*measured_in(tree, places), *plan.measured)
        data = form.render(entries, run_id, measured if form is ENVIRONMENT else ())
        wanted.append((file, data if entries else None))
    return Files(tuple(wanted), tuple(blocked))


def check_allowed(line: Line) -> None:
    """Raise unless a setting of the table has this place and allows this value."""
    setting = setting_of(line.key)
    if line.wanted == UNSET and line.backend == "environment":
        return
    allowed = setting.allowed
    named = target_of(line.key)
    if (
        allowed is None
        or line.wanted is None
        or not allowed.holds(line.wanted)
        or "/" in named
        or named in {".", ".."}
    ):
        raise NotAllowed(f"`{line.key}` may not be set to `{line.wanted}`")


def value_changes(lines: Sequence[Line], tree: Tree) -> Iterator[Change]:
    for line in lines:
        if line.backend not in IN_KERNEL or line.wanted is None:
            continue
        place = setting_of(line.key).path(target_of(line.key))
        partner = PARTNERS.get(place)
        yield Change(
            0,
            line.key,
            "value",
            place,
            tree.read(place),
            f"{line.wanted}\n".encode(),
            partner=partner,
            partner_before=tree.read(partner) if partner else None,
        )


def set_by_us_before(plan: Plan, runs: Sequence[Run]) -> list[Line]:
    """Lines in force because an earlier run set them, which a file may not keep yet."""
    ours = {change.key for run in runs if run.active for change in run.changes}
    return [line for line in plan.of("already") if line.backend in IN_KERNEL and line.key in ours]


def entries_wanted(
    form: Form, lines: Sequence[Line], tree: Tree, places: Places
) -> tuple[dict[str, str], list[str]]:
    """All entries of a file with these lines in it, and the keys of the lines that it serves."""
    entries, keys = dict(entries_in(tree, places, form)), []
    for line in lines:
        setting = setting_of(line.key)
        if form not in forms_for(tree, setting):
            continue
        keys.append(line.key)
        key = entry_key(setting, target_of(line.key))
        if line.wanted == UNSET or line.wanted is None:
            entries.pop(key, None)
        else:
            entries[key] = line.wanted
    return entries, keys


def why_not_ours(tree: Tree, file: str, runs: Sequence[Run]) -> str | None:
    """Why a file must be left alone; `None` where it is not there or as we left it."""
    data = tree.read(file)
    if data is None:
        return None
    if not is_ours(data):
        return "is not aitrade's"
    written = [change.after for run in runs for change in run.changes if change.place == file]
    known = {*written, *(change.before for run in runs for change in run.changes)}
    if written and data not in known:
        return "was edited since aitrade wrote it"
    return None


def file_changes(file: str, data: bytes | None, tree: Tree, run_id: str) -> Iterator[Change]:
    for folder in missing_folders(tree, file):
        yield Change(0, folder, "folder", folder, None, b"")
    name = PurePosixPath(file).name
    yield Change(
        0,
        file,
        "file",
        file,
        tree.read(file),
        data,
        mode=tree.mode(file),
        neighbour=f".{name}.{run_id}.new",
    )


def missing_folders(tree: Tree, file: str) -> list[str]:
    folders = [str(folder) for folder in PurePosixPath(file).parents if str(folder) != "/"]
    return [folder for folder in reversed(folders) if not tree.exists(folder)]


def unique(changes: Sequence[Change]) -> list[Change]:
    """Without folders that an earlier change makes already."""
    seen: set[str] = set()
    kept = []
    for change in changes:
        if change.kind == "folder" and change.place in seen:
            continue
        seen.add(change.place)
        kept.append(change)
    return kept


def environment_wanted(plan: Plan, tree: Tree, places: Places) -> dict[str, str]:
    """The variables that a process of this host should start with."""
    return entries_wanted(ENVIRONMENT, plan.of("change", "already"), tree, places)[0]


def differs(left: bytes | None, right: bytes | None) -> bool:
    """Whether two readings of a kernel value mean different things."""
    if left is None or right is None:
        return left is not right
    return canonical(left.decode(errors="replace")) != canonical(right.decode(errors="replace"))
