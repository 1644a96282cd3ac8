"""What removing a share of the time is worth, and the words that findings share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.report import Confidence, Finding, Fix
from aitrade_cli.system.profiling.source import Source, diff_of

MOST: Final = 0.995  # of the time that can go: what is left of a program is never nothing


class Sources:
    """The user's files, each read once."""

    def __init__(self) -> None:
        self.known: dict[str, Source | None] = {}

    def get(self, path: str) -> Source | None:
        """The parsed file; None where it cannot be read."""
        if path not in self.known:
            self.known[path] = Source.read(path)
        return self.known[path]


class NoSources(Sources):
    """As if no file could be read: rules then give advice."""

    def get(self, path: str) -> Source | None:
        """Nothing."""
        del path
        return None


def amdahl(share: float, recoverable: float) -> float:
    """How many times as fast the whole is without a part of one share.

    Args:
        share: of the wall time, 0..1.
        recoverable: of that share, 0..1; negative where it may cost time.

    Source:
        Amdahl 1967, Validity of the single processor approach, AFIPS 30:483-485.
    """
    return 1.0 / (1.0 - min(share * recoverable, MOST))


def place_of(file: str, line: int) -> str:
    """`file:line` as it is seen from here."""
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"


def advice(text: str) -> Fix:
    """A sentence that only the user can act on."""
    return Fix("advice", text)


def environment_fix(values: Mapping[str, str], caution: str = "") -> Fix:
    """Variables to set before the program starts; an empty value takes one away."""
    lines = [f"export {name}={value}" if value else f"unset {name}" for name, value in
             values.items()]  # fmt: skip
    return Fix("environment", "\n".join(lines), environment=dict(values), caution=caution)


def source_fix(source: Source, after: str, caution: str = "") -> Fix:
    """A diff of one file."""
    text = diff_of(source.path, source.text, after)
    return Fix("source", text, file=os.path.abspath(source.path), patched=after, caution=caution)


def finding(
    kind: str,
    place: str,
    share: float,
    what: str,
    recoverable: tuple[float, float],
    fix: Fix,
    confidence: Confidence = "medium",
    spread: float = 0.0,
) -> Finding:
    """A finding whose gain follows from its share by Amdahl's law.

    ``recoverable`` is the least and the most of the share that the fix takes away, ``spread``
    how far the share itself may be off where it was counted in samples.
    """
    share = min(max(share, 0.0), 1.0)
    near, far = max(share - spread, 0.0), min(share + spread, 1.0)
    low, high = (round(amdahl(p, one), 3)
                 for p, one in zip((near, far), recoverable, strict=True))  # fmt: skip
    return Finding(kind, place, round(share, 4), what, "time", low, high, confidence, fix)


def sure(evidence: Evidence, seconds: float) -> Confidence:
    """How far the share of so many seconds can be trusted, by how much was seen of it."""
    if seconds >= 1.0:
        return "high" if evidence.outside else "medium"
    return "medium" if seconds >= 0.3 else "low"
