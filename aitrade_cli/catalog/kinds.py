"""What a row of the catalogue says."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """One command of the program."""

    name: str  # what the user types; "group verb" where commands share a word
    target: str  # "module:function", imported only when the user types `name`
    summary: str  # one line, imperative, no full stop
    panel: str  # heading it sits under in `aitrade --help`
    example: str  # one line, run by the tests
    exit_codes: tuple[int, ...] = (0, 2, 3, 4)  # what it can end with, shown in its help


class Group(NamedTuple):
    """A word that several commands share: the `replay` of `aitrade replay create`."""

    name: str
    summary: str
    panel: str


class Claim(NamedTuple):
    """What the product's owner published for a row. Shown beside the measured, never used as it."""

    speedup: float | None = None  # times
    memory_saved: float | None = None  # share, 0..1


class Row(NamedTuple):
    """One promise of the catalogue; the id is stable."""

    id: str
    promise: str
    command: str  # the command that reaches it
    check: str  # "module:function" that `check-all` runs in a process of its own
    example: str  # one line that shows it, run by the tests
    claim: Claim = Claim()
