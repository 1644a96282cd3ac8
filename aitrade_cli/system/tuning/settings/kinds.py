"""What one setting of a host says about itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from aitrade_cli.system.tuning.facts import Facts

Purpose = Literal["train", "inference", "feed"]
Class = Literal["proven", "situational", "hygiene", "cargo cult"]
Backend = Literal["environment", "sysctl", "sysfs", "queue", "limit", "advice"]
PURPOSES: Final[tuple[Purpose, ...]] = ("train", "inference", "feed")
CLASSES: Final[tuple[Class, ...]] = ("proven", "situational", "hygiene", "cargo cult")


@dataclass(frozen=True, slots=True)
class Whole:
    """Whole numbers from ``low`` to ``high``, as many as ``count`` with blanks between."""

    low: int
    high: int
    count: int = 1

    def holds(self, value: str) -> bool:
        words = value.split()
        numbers = [int(word) for word in words if word.lstrip("-").isdecimal()]
        return len(numbers) == len(words) == self.count and all(
            self.low <= number <= self.high for number in numbers
        )

    def __str__(self) -> str:
        times = "" if self.count == 1 else f" ({self.count} of them)"
        return f"{self.low:,} to {self.high:,}{times}"


@dataclass(frozen=True, slots=True)
class Words:
    """One of these words."""

    allowed: tuple[str, ...]

    def holds(self, value: str) -> bool:
        return value in self.allowed

    def __str__(self) -> str:
        return ", ".join(self.allowed)


@dataclass(frozen=True, slots=True)
class Library:
    """The absolute path of one of these shared libraries."""

    stems: tuple[str, ...]

    def holds(self, value: str) -> bool:
        name = value.rpartition("/")[2]
        plain = value.startswith("/") and ".." not in value and not set(value) & set(" :\n\"'\\$`")
        return plain and any(name.startswith(f"{stem}.so") for stem in self.stems)

    def __str__(self) -> str:
        return "path of " + " or ".join(self.stems)


Allowed: TypeAlias = Whole | Words | Library


@dataclass(frozen=True, slots=True)
class Wish:
    """What a rule makes of a host."""

    value: str | None  # None: leave it as it is
    why: str  # with this host's numbers
    advice: str = ""  # a command or line to paste, for what is never set from here


Rule: TypeAlias = Callable[[Facts, Purpose, str], Wish]
Look: TypeAlias = Callable[[Facts, str], str | None]


def one_place(_: Facts) -> Sequence[str]:
    return ("",)


def not_there(_: Facts, __: str) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: where it is, what it should be, why, and what may ever be written there.

    Attributes:
        row: its line in the table of settings; several share one.
        id: what `--only` and `--skip` match, and reports print.
        place: variable, ``sysctl`` key, path in ``/sys`` with ``{}`` for the target, or limit.
        rule: gives the wish for a host, a purpose and a target.
        allowed: the only values that are ever written; `None` where nothing is.
        purposes: those that ask for a situational setting.
        targets: devices that it exists for; one empty name where it is the host's.
        look: reads the current value where the backend has no way of its own.
        speed: whether it can make a program faster, so that a measurement can judge it.
    """

    row: int
    id: str
    what: str
    verdict: Class
    backend: Backend
    place: str
    rule: Rule
    rule_text: str
    worth: str
    source: str
    risk: str
    allowed: Allowed | None = None
    purposes: tuple[Purpose, ...] = PURPOSES
    targets: Callable[[Facts], Sequence[str]] = one_place
    look: Look = not_there
    speed: bool = True

    @property
    def needs_root(self) -> bool:
        return self.backend not in {"environment", "advice"}

    def path(self, target: str) -> str:
        """The kernel's file of a target."""
        if self.backend == "sysctl":
            return "/proc/sys/" + self.place.replace(".", "/")
        return self.place.format(target)
