"""What was about to be written, before it was: one JSON object a line, synced line by line.

A run that is killed leaves a journal that says what it may have done. Nothing is ever
written to a host whose line is not on the disk yet.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.files import sync_folder
from aitrade_cli.system.tuning.dropins import Places
from aitrade_cli.system.tuning.tree import Tree

FORMAT: Final = 1
ID: Final = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")
Kind = Literal["value", "file", "folder"]


class Busy(Refused):
    """Another run holds the lock of this host's journal."""

    default_hint = "wait for it to end, then look at `aitrade tune-system --history`"

    def __init__(self) -> None:
        super().__init__("another `tune-system` is at work on this host")


class JournalUnreadable(BadInput):
    """A journal holds lines that are not ours, or was written by a later version."""


class NoSuchRun(BadInput):
    """No journal has this id."""

    default_hint = "`aitrade tune-system --history` lists them"


@dataclass(frozen=True, slots=True)
class Change:
    """One write: what it replaces and what it puts there. `None` is "nothing is there"."""

    number: int
    key: str  # line of the plan, or the file
    kind: Kind
    place: str
    before: bytes | None
    after: bytes | None
    mode: int | None = None  # of the file before
    partner: str | None = None  # set to 0 by the kernel in the same moment
    partner_before: bytes | None = None
    neighbour: str | None = None  # name under which a file is written first

    @property
    def record(self) -> dict[str, Any]:
        return {
            "record": "intent",
            "number": self.number,
            "key": self.key,
            "kind": self.kind,
            "place": self.place,
            "before": packed(self.before),
            "after": packed(self.after),
            "mode": self.mode,
            "partner": self.partner,
            "partner_before": packed(self.partner_before),
            "neighbour": self.neighbour,
        }


@dataclass(frozen=True, slots=True)
class Run:
    """One journal as read back."""

    id: str
    begin: Mapping[str, Any]
    changes: tuple[Change, ...]
    done: Mapping[int, Mapping[str, Any]]  # by the change's number: outcome, readback
    undone: Mapping[int, str]  # by the change's number: outcome
    later: Mapping[str, bytes | None]  # files to write after the yes
    waiting: bool  # its values are set, its files are not
    ended: bool
    confirmed: bool
    partly: bool  # undone but for what was refused
    reverted: bool

    @property
    def state(self) -> str:
        if self.reverted:
            return "undone"
        if self.partly:
            return "partly undone"
        waits = self.begin.get("confirm_seconds") is not None
        if waits and not self.confirmed and (self.waiting or self.ended):
            return "unconfirmed"
        return "in force" if self.ended else "cut off"

    @property
    def active(self) -> bool:
        return not self.reverted

    def readback(self, number: int) -> bytes | None:
        """What the kernel showed after the write, where it was read."""
        found = self.done.get(number, {}).get("readback")
        return None if found is None else unpacked(found)


class Journal:
    """Appends to one run's journal. Each line is on the disk before the call returns."""

    def __init__(self, tree: Tree, places: Places, run_id: str) -> None:
        self.path = tree.locate(f"{places.state}/{run_id}.jsonl")
        self.id = run_id

    def append(self, record: str, **fields: Any) -> None:  # noqa: ANN401 -- JSON
        self.write({"record": record, **fields})

    def write(self, line: Mapping[str, Any]) -> None:
        new = not self.path.exists()
        with open(self.path, "r+b" if not new else "xb") as file:
            file.seek(whole_length(self.path.read_bytes()) if not new else 0)
            file.truncate()  # a line that a kill cut short was never acted on
            file.write(json.dumps(line, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        if new:
            sync_folder(self.path.parent)


def whole_length(data: bytes) -> int:
    """Bytes up to the end of the last whole line."""
    return data.rfind(b"\n") + 1


def packed(data: bytes | None) -> str | dict[str, str] | None:
    """Text as it is, so that a person can read the journal; other bytes as base64."""
    if data is None:
        return None
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode("ascii")}


def unpacked(value: str | Mapping[str, str] | None) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


@contextmanager
def locked(tree: Tree, places: Places) -> Iterator[None]:
    """Hold the host's journals for one run. A killed holder's lock goes with it.

    Raises:
        Busy: somebody else holds it.
        PermissionError: the folder may not be written.
    """
    folder = tree.locate(places.state)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy from None
        yield


def read_runs(tree: Tree, places: Places) -> tuple[Run, ...]:
    """Every run of a host, the oldest first.

    Raises:
        JournalUnreadable: a line is not what this version writes.
    """
    names = (name.removesuffix(".jsonl") for name in tree.names(places.state))
    return tuple(read_run(tree, places, name) for name in names if ID.fullmatch(name))


def read_run(tree: Tree, places: Places, run_id: str) -> Run:
    """One run.

    Raises:
        NoSuchRun: there is none of that id.
        JournalUnreadable: a line is not what this version writes.
    """
    data = tree.read(f"{places.state}/{run_id}.jsonl") if ID.fullmatch(run_id) else None
    if data is None:
        raise NoSuchRun(f"there is no run `{run_id}`")
    try:
        lines = [json.loads(line) for line in data[: whole_length(data)].splitlines()]
        return run_of(run_id, lines)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise JournalUnreadable(f"the journal of run `{run_id}` cannot be read: {error}") from error


def run_of(run_id: str, lines: list[dict[str, Any]]) -> Run:
    # A run that was killed before its first line was whole has done nothing.
    begin = next((line for line in lines if line["record"] == "begin"), {"format": FORMAT})
    if begin["format"] != FORMAT:
        raise ValueError(f"format {begin['format']}, this version reads {FORMAT}")
    kinds = [line["record"] for line in lines]
    return Run(
        run_id,
        begin,
        tuple(change_of(line) for line in lines if line["record"] == "intent"),
        {line["number"]: line for line in lines if line["record"] == "done"},
        {line["number"]: line["outcome"] for line in lines if line["record"] == "undone"},
        {line["place"]: unpacked(line["after"]) for line in lines if line["record"] == "later"},
        waiting="waiting" in kinds,
        ended="end" in kinds,
        confirmed="confirmed" in kinds,
        partly="refused" in kinds,
        reverted="reverted" in kinds,
    )


def change_of(line: Mapping[str, Any]) -> Change:
    return Change(
        line["number"],
        line["key"],
        line["kind"],
        line["place"],
        unpacked(line["before"]),
        unpacked(line["after"]),
        line["mode"],
        line["partner"],
        unpacked(line["partner_before"]),
        line["neighbour"],
    )
