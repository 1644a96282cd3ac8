"""Collectors that take a run of their own: what is here, what each cost, what each calls hot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.profiling.report import CollectorLine
from aitrade_cli.system.profiling.target import Program

DEFAULT: Final = ("hooks", "py-spy")
OWN_RUN: Final = ("cprofile", "scalene", "memray", "torch", "nsys")
ALL: Final = (*DEFAULT, *OWN_RUN)
Say = Callable[[str], None]


class UnknownCollector(Usage):
    """`--collect` names something that is no collector."""

    default_hint = f"there are {', '.join(ALL)}, and `all`"


@dataclass(frozen=True, slots=True)
class Plan:
    """Which collectors run in the first run, and which in runs of their own."""

    first: tuple[str, ...]
    others: tuple[str, ...]
    skipped: tuple[CollectorLine, ...] = ()

    def uses(self, name: str) -> bool:
        """Whether it watches the first run."""
        return name in self.first


@dataclass(frozen=True, slots=True)
class Collected:
    """What the runs of their own brought."""

    lines: tuple[CollectorLine, ...] = ()
    memory: tuple[tuple[str, int], ...] = ()
    torch_trace: bytes | None = None


def plan_of(names: Sequence[str], program: Program) -> Plan:
    """Sort the names of collectors.

    Raises:
        UnknownCollector: there is none of that name.
    """
    wanted = ALL if "all" in names else tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in ALL:
            raise UnknownCollector(f"there is no collector `{name}`")
    skipped = []
    if "hooks" in wanted and program.python is None:
        skipped.append(CollectorLine("hooks", "skipped", "not started as `python SCRIPT`"))
    first = tuple(name for name in wanted if name in DEFAULT)
    return Plan(first, tuple(name for name in wanted if name in OWN_RUN), tuple(skipped))


def collect(program: Program, names: Sequence[str], plain_seconds: float, say: Say) -> Collected:
    """Run the program once under each of them."""
    del program, plain_seconds, say
    return Collected(tuple(CollectorLine(name, "skipped", "not built") for name in names))
