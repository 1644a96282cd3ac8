"""The few shapes a report can take on screen. No Rich here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sentence that answers the user's question. It comes first."""

    text: str
    good: bool | None = None  # None: neither good nor bad, only said


@dataclass(frozen=True, slots=True)
class Facts:
    """Short name-and-value lines."""

    title: str
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column headings; numbers already formatted. Fits 80 columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    left: int = 1  # how many columns, from the first on, hold words and are left-aligned


@dataclass(frozen=True, slots=True)
class Notes:
    """Whole sentences, one a line: reasons, conditions of measurement, what was not run."""

    title: str
    lines: Sequence[str]


Block: TypeAlias = Verdict | Facts | Table | Notes


@singledispatch
def view(report: object) -> Sequence[Block]:
    """Lay a report out as blocks. Each report registers its own, next to its dataclass."""
    raise NotImplementedError(f"{type(report).__name__} has no view")
