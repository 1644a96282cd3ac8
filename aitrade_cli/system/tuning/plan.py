"""What would change on a host, and why. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aitrade_cli.errors import Refused
from aitrade_cli.system.tuning.dropins import (
    ENVIRONMENT,
    LIMITS,
    Places,
    entries_in,
    measured_in,
    places_for,
    set_later,
)
from aitrade_cli.system.tuning.facts import Facts
from aitrade_cli.system.tuning.host_line import HostLine, host_line
from aitrade_cli.system.tuning.selecting import select
from aitrade_cli.system.tuning.settings import SETTINGS
from aitrade_cli.system.tuning.settings.kinds import (
    Backend,
    Class,
    Purpose,
    Setting,
    Wish,
)
from aitrade_cli.system.tuning.tree import Tree, canonical

Decision = Literal[
    "change",  # would be written
    "already",  # is as wanted
    "leave",  # the rule has no wish here
    "advise",  # for a person to do; the words stand in `advice`
    "not asked",  # situational, and neither the purpose nor a measurement asks
    "never",  # cargo cult: reported only
    "absent",  # this host has no such thing
    "not permitted",  # this kernel refuses it from here
]
UNSET: Final = "unset"
IN_KERNEL: Final = frozenset(("sysctl", "sysfs", "queue"))
NOT_THROUGH_ROOT: Final = "the system's folders may not be written"


class NotAllowed(Refused):
    """A value lies outside what may ever be written. A guard; no rule asks for one."""


@dataclass(frozen=True, slots=True)
class Line:
    """One setting on one target of one host."""

    key: str
    row: int
    what: str
    verdict: Class
    backend: Backend
    place: str
    current: str | None
    wanted: str | None
    decision: Decision
    why: str
    advice: str
    worth: str
    rule: str
    source: str
    risk: str
    needs_root: bool
    speed: bool
    set_later_by: str | None = None  # a file that sets it back at the next boot


@dataclass(frozen=True, slots=True)
class Plan:
    """What `aitrade tune-system` prints."""

    root: str
    purpose: Purpose
    host: HostLine
    lines: tuple[Line, ...]
    measured: tuple[str, ...] = ()  # variables whose value a measurement chose

    JSON_PROPERTIES = ("changes",)

    @property
    def changes(self) -> int:
        return sum(line.decision == "change" for line in self.lines)

    def of(self, *decisions: Decision) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.decision in decisions)


def make_plan(
    facts: Facts,
    purpose: Purpose = "train",
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
) -> Plan:
    """Decide every setting for a host.

    Args:
        facts: the host.
        purpose: which situational settings are asked for.
        only: see `select`; empty for all.
        skip: see `select`.
    """
    places = places_for(facts.tree)
    lines = tuple(
        line_of(setting, target, facts, purpose, places)
        for setting in select(only, skip)
        for target in (setting.targets(facts) or (None,))
    )
    return Plan(str(facts.tree.root), purpose, host_line(facts), lines)


def line_of(
    setting: Setting,
    target: str | None,
    facts: Facts,
    purpose: Purpose,
    places: Places,
) -> Line:
    key = f"{setting.id}:{target}" if target else setting.id
    if target is None:
        return line(setting, key, None, None, "absent", Wish(None, "this host has none"))
    current = current_of(setting, target, facts, places)
    wish = within(setting, setting.rule(facts, purpose, target))
    mine = ours_of(setting, facts, places)
    if mine and setting.place in measured_in(facts.tree, places):
        shown = Wish(mine, "measured here on a command; `--revert` forgets it")
        return line(setting, key, current, mine, "already", shown)
    asked = purpose in setting.purposes
    state = State(current, mine, asked=asked)
    decision, why = decide(setting, target, wish, facts, places, state)
    # What our own file still sets and no rule wants any more is taken out again.
    removed = decision == "change" and (wish.value is None or not asked)
    wanted = UNSET if removed else wish.value
    later = None
    if setting.backend == "sysctl" and wanted and decision in {"change", "already"}:
        later = set_later(facts.tree, setting.place, wanted)
    shown = Wish(wanted, why or wish.why, wish.advice)
    return line(setting, key, current, wanted, decision, shown, later)


def within(setting: Setting, wish: Wish) -> Wish:
    """The wish, or none where this host's numbers lead it out of what may be written."""
    allowed = setting.allowed
    if wish.value is None or allowed is None or allowed.holds(wish.value):
        return wish
    why = f"the rule comes to {wish.value}, and only {allowed} may be set"
    return Wish(None, why, wish.advice)


@dataclass(frozen=True, slots=True)
class State:
    """How a setting stands now."""

    current: str | None
    mine: str | None  # what our own file gives it, where only a file can
    asked: bool


def ours_of(setting: Setting, facts: Facts, places: Places) -> str | None:
    """What our own file gives a setting of processes; two settings may share a variable."""
    form = {"environment": ENVIRONMENT, "limit": LIMITS}.get(setting.backend)
    found = entries_in(facts.tree, places, form).get(setting.place) if form else None
    allowed = setting.allowed
    return found if found is None or (allowed is not None and allowed.holds(found)) else None


def decide(
    setting: Setting, target: str, wish: Wish, facts: Facts, places: Places, state: State
) -> tuple[Decision, str]:
    """The decision, and the reason where it is not the rule's own."""
    if setting.backend == "advice":
        return ("advise" if wish.advice else "leave"), ""
    if setting.backend in IN_KERNEL and state.current is None:
        return "absent", "this kernel has none"
    if setting.verdict == "cargo cult":
        return "never", ""
    if wish.value is None or not state.asked:
        return not_wanted(wish, setting, state)
    effective = state.current if setting.backend in IN_KERNEL else state.mine
    if effective is not None and canonical(effective) == wish.value:
        return "already", ""
    reason = why_closed(setting, target, facts, places)
    return ("not permitted", reason) if reason else ("change", "")


def not_wanted(wish: Wish, setting: Setting, state: State) -> tuple[Decision, str]:
    """What our environment file still sets is taken out again; all else is left."""
    if state.mine is not None and setting.backend == "environment":
        return "change", "" if wish.value is None else "no longer asked for"
    return ("leave" if wish.value is None else "not asked"), ""


def why_closed(setting: Setting, target: str, facts: Facts, places: Places) -> str:
    """Why this setting may not be changed from here; empty where it may."""
    match setting.backend:
        case "sysctl" | "sysfs" | "queue":
            return facts.tree.why_not_writable(setting.path(target)) or ""
        case "limit":
            return NOT_THROUGH_ROOT if places.personal else ""
    return ""


def current_of(setting: Setting, target: str, facts: Facts, places: Places) -> str | None:
    match setting.backend:
        case "sysctl" | "sysfs" | "queue":
            return facts.tree.value(setting.path(target))
        case "environment":
            ours = entries_in(facts.tree, places, ENVIRONMENT)
            return ours.get(setting.place, facts.environment.get(setting.place))
        case "limit":
            ours = entries_in(facts.tree, places, LIMITS)
            return ours.get(setting.place, setting.look(facts, target))
    return setting.look(facts, target)


def line(
    setting: Setting,
    key: str,
    current: str | None,
    wanted: str | None,
    decision: Decision,
    wish: Wish,
    later: str | None = None,
) -> Line:
    return Line(
        key,
        setting.row,
        setting.what,
        setting.verdict,
        setting.backend,
        setting.place,
        current,
        wanted,
        decision,
        wish.why,
        wish.advice,
        setting.worth,
        setting.rule_text,
        setting.source,
        setting.risk,
        setting.needs_root,
        setting.speed,
        later,
    )


def setting_of(key: str) -> Setting:
    """The setting behind a line's key."""
    return next(one for one in SETTINGS if one.id == key.partition(":")[0])


def target_of(key: str) -> str:
    return key.partition(":")[2]


def open_tree(root: str) -> Tree:
    """The tree that ``--root`` names.

    Raises:
        NoSuchRoot: it is no folder.
    """
    from pathlib import Path

    return Tree(Path(root))
