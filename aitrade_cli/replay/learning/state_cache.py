"""Steps of a deterministic environment that need not be computed twice."""

from __future__ import annotations

import hashlib
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import flatten
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text, count_text, share_text

Outcome: TypeAlias = dict[str, np.ndarray]
DIGEST_BYTES: Final = 16
ENTRY_BYTES: Final = 400  # of Python objects around each entry
ALWAYS_CHECKED: Final = 8  # first hits: most that is random shows at once


class NotDeterministic(RuntimeWarning):
    """The same state and action led to another outcome; the cache has turned itself off."""


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What the cache was good for.

    Attributes:
        on: whether it still answers.
        hits: outcomes that were handed out without running the environment.
        misses: outcomes that had to be computed, also those after it was turned off.
        checked: hits that were computed all the same, and compared.
        evicted: entries that made room for others.
        entries: that are held.
        held_bytes: keys, outcomes and what Python needs around them, estimated.
        limit_bytes: that they may take.
        reason: why it is off.
    """

    on: bool
    hits: int
    misses: int
    checked: int
    evicted: int
    entries: int
    held_bytes: int
    limit_bytes: int
    reason: str = ""

    JSON_PROPERTIES = ("hit_rate",)

    @property
    def hit_rate(self) -> float:
        """Hits, the checked ones not counted, over all steps; 0 before the first."""
        steps = self.hits + self.checked + self.misses
        return self.hits / steps if steps else 0.0


class StateCache:
    """Outcomes by the content of state and action, the least recently used ones first to go.

    A state is everything that decides what comes next: where the observation is only a
    part of it, hand over the emulator's own state. Every so many hits the environment is
    run all the same; where it then answers otherwise, the cache warns, empties itself and
    stays off, and what it handed out before was wrong.

    Args:
        limit_bytes: that keys and outcomes may take.
        check_share: of the hits that are computed again; the first eight always are.
    """

    def __init__(self, limit_bytes: int, *, check_share: float = 0.01) -> None:
        if limit_bytes < 1:
            raise BadInput(f"a cache needs room, got `{limit_bytes}` bytes")
        if not 0.0 < check_share <= 1.0:
            raise BadInput(f"the share of hits that is checked lies in (0, 1], got `{check_share}`")
        self.limit_bytes = limit_bytes
        self.check_every = round(1.0 / check_share)
        self._entries: OrderedDict[bytes, tuple[Outcome, int]] = OrderedDict()
        self._bytes = 0
        self._found = self._hits = self._misses = self._checked = self._evicted = 0
        self._reason = ""

    def step(self, state: Value, action: Value, run: Callable[[], dict[str, Value]]) -> Outcome:
        """What the action leads to from that state.

        Args:
            state: array, number, or dict or tuple of such.
            action: likewise.
            run: computes the outcome, by name; called on a miss, and now and then on a hit.

        Returns:
            The outcome as arrays that cannot be written to; nested values under dotted names.
        """
        if self._reason:
            self._misses += 1
            return as_outcome(run())
        key = key_of(state, action)
        entry = self._entries.get(key)
        if entry is None:
            self._misses += 1
            outcome = as_outcome(run())
            self._keep(key, outcome)
            return outcome
        self._entries.move_to_end(key)
        self._found += 1
        if self._found > ALWAYS_CHECKED and self._found % self.check_every:
            self._hits += 1
            return entry[0]
        self._checked += 1
        outcome = as_outcome(run())
        if not alike(outcome, entry[0]):
            self._turn_off(outcome, entry[0])
        return outcome

    def report(self) -> CacheReport:
        return CacheReport(
            on=not self._reason,
            hits=self._hits,
            misses=self._misses,
            checked=self._checked,
            evicted=self._evicted,
            entries=len(self._entries),
            held_bytes=self._bytes,
            limit_bytes=self.limit_bytes,
            reason=self._reason,
        )

    def _keep(self, key: bytes, outcome: Outcome) -> None:
        size = sum(array.nbytes for array in outcome.values()) + ENTRY_BYTES
        if size > self.limit_bytes:
            return
        self._entries[key] = outcome, size
        self._bytes += size
        while self._bytes > self.limit_bytes:
            _, (_, freed) = self._entries.popitem(last=False)
            self._bytes -= freed
            self._evicted += 1

    def _turn_off(self, now: Outcome, before: Outcome) -> None:
        names = [name for name in before if not alike_part(now.get(name), before[name])]
        self._reason = (
            f"the environment is not deterministic: `{', '.join(names) or 'its fields'}` "
            f"differed at hit {self._found} from the same state and action"
        )
        self._entries.clear()
        self._bytes = 0
        warnings.warn(f"{self._reason}; the state cache is off", NotDeterministic, stacklevel=3)


def key_of(state: Value, action: Value) -> bytes:
    """A name for the content of both: dtypes, shapes and bytes.

    Raises:
        BadInput: one of them is an object that no array can hold.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for name, value in flatten({"state": state, "action": action}).items():
        array = np.ascontiguousarray(value)
        if array.dtype.hasobject:
            raise BadInput(f"`{name}` is an object; its content has no bytes to compare")
        digest.update(f"{name}:{array.dtype.str}:{np.shape(value)};".encode())
        digest.update(array.data)
    return digest.digest()


def as_outcome(values: dict[str, Value]) -> Outcome:
    """Copies that cannot be written to: whoever got one cannot spoil the next hit."""
    outcome = {name: np.array(value) for name, value in flatten(values).items()}
    for array in outcome.values():
        array.flags.writeable = False
    return outcome


def alike(one: Outcome, other: Outcome) -> bool:
    return one.keys() == other.keys() and all(alike_part(one[k], other[k]) for k in one)


def alike_part(one: np.ndarray | None, other: np.ndarray) -> bool:
    """Bit for bit, so that the same NaN is the same."""
    if one is None or one.dtype != other.dtype or one.shape != other.shape:
        return False
    return one.tobytes() == other.tobytes()


@view.register
def _(report: CacheReport) -> Sequence[Block]:
    said = report.reason or f"{share_text(report.hit_rate)} of steps were not computed"
    return (
        Verdict(said, None if report.on else False),
        Facts(
            "State cache",
            (
                ("Hits", count_text(report.hits)),
                ("Misses", count_text(report.misses)),
                ("Hits checked", count_text(report.checked)),
                ("Entries", count_text(report.entries)),
                ("Evicted", count_text(report.evicted)),
                ("Held", f"{bytes_text(report.held_bytes)} of {bytes_text(report.limit_bytes)}"),
            ),
        ),
    )
