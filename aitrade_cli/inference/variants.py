"""What is measured, how long, and how long to wait for it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run one model.

    Attributes:
        name: how reports call it; unique within a measurement.
        artefact: the file, or its bytes.
        runtime: one of `model.runtimes`, or ``auto`` for what the artefact's card says.
        threads: of the runtime's own pool, >= 1.
        arch: ``package.module:factory``, where the artefact needs the user's code.
        trust_pickle: sha256 of a pickled file that the user chose to run.
        trust_native: sha256 of a native package that the user vouched for.
        network_bytes: of the weights or the graph alone, without the card and its bars.
    """

    name: str
    artefact: Path | bytes
    runtime: str = "auto"
    threads: int = 1
    arch: str | None = None
    trust_pickle: str | None = None
    trust_native: str | None = None
    network_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        """Of the network where that is known, else of the whole file."""
        if self.network_bytes is not None:
            return self.network_bytes
        if isinstance(self.artefact, bytes):
            return len(self.artefact)
        return self.artefact.stat().st_size


@dataclass(frozen=True, slots=True)
class NotRun:
    """A variant that was asked for and could not be measured."""

    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure.

    Attributes:
        rounds: times that every variant has its turn, >= 2; fewer for models so slow
            that one call outlasts its share, but never under 6.
        seconds: of measured calls for each variant and batch size, > 0.
        runs: calls of each variant instead, whatever they take; >= 1.
    """

    rounds: int = 30
    seconds: float = 1.5
    runs: int | None = None

    def choosing(self) -> Effort:
        """Enough to choose among candidates: fewer rounds, two fifths of the time."""
        return replace(
            self, rounds=min(self.rounds, ROUNDS_TO_CHOOSE), seconds=self.seconds * 2 / 5
        )


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds after which a silent worker is given up.

    Attributes:
        open: to start, import, read and check the file.
        first_call: the first calls at a batch size; a compiler may run in them.
        run: one round beyond twenty times what it should take.
    """

    open: float = 180.0
    first_call: float = 600.0
    run: float = 30.0


ROUNDS_TO_CHOOSE: Final = 12
FULL: Final = Effort()
QUICK: Final = FULL.choosing()
PATIENT: Final = Patience()
