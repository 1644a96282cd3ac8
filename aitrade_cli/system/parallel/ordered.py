"""Apply a function to many items, over processes where that is sooner and here where it is not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

import numpy as np

from aitrade_cli.errors import Usage
from aitrade_cli.system.parallel.pool import Workers, default_workers
from aitrade_cli.system.parallel.segment import (
    Arrays,
    Blank,
    Layout,
    TooLittleSharedMemory,
    shared,
    taken_out,
)

T = TypeVar("T")
R = TypeVar("R")
PROBE_SECONDS: Final = 0.05  # of items done here first, to learn what one takes
CHUNK_SECONDS: Final = 0.01  # less than that and the pipe costs more than the work
CHUNKS_EACH: Final = 4  # at least, so that an early end can be evened out
WORTH: Final = 0.8  # of the time here: closer than that the estimate decides nothing
# Seconds until workers are ready, until that has been measured here: a first start loads Python.
STARTS: Final[dict[str, float]] = {"first": 1.5, "again": 0.15}


@dataclass(frozen=True, slots=True)
class MapReport:
    """How the work was done, and why so.

    Attributes:
        items: how many there were.
        workers: processes that did them; 1 is this one.
        way: ``here`` or ``processes``.
        reason: in words, with the figures that decided.
        seconds: from the call to the last result.
        start_seconds: of these, until the processes were ready; 0 here.
        serial_seconds_estimated: what the probe says that all would take here; None where
            nothing was probed.
    """

    items: int
    workers: int
    way: Literal["here", "processes"]
    reason: str
    seconds: float
    start_seconds: float
    serial_seconds_estimated: float | None


@dataclass(frozen=True, slots=True)
class Mapped(Generic[R]):
    """Results in the order of the items, the blanks as they were filled, and how it went."""

    results: tuple[R, ...]
    arrays: Mapping[str, np.ndarray]
    report: MapReport


def map_ordered(
    function: Callable[[T, Arrays], R],
    items: Sequence[T],
    *,
    arrays: Arrays | None = None,
    blanks: Mapping[str, Blank] | None = None,
    workers: int | None = None,
    probe: bool = True,
) -> Mapped[R]:
    """Apply ``function(item, arrays)`` to every item.

    The first items are done here until it is known what one takes. Where processes would be
    no sooner the rest is done here too, else all are done by workers, the first ones again: the
    function must depend on nothing but its arguments. Where the arrays do not fit into shared
    memory all are done here. In a script of your own, call this below
    ``if __name__ == "__main__":``, since a worker imports the script.

    Args:
        function: of a module, not a lambda; a worker imports it by name.
        items: anything that can be pickled.
        arrays: read by the function; copied once into memory that all workers share.
        blanks: arrays that the function fills in place, each item its own part of them.
        workers: processes, >= 1; one for each usable core where not given.
        probe: False starts the workers without asking whether it pays.

    Raises:
        Usage: ``workers`` is below 1.
        WorkerLost: a worker was killed.
        Exception: whatever the function raises; from a worker, its traceback is the cause.
    """
    count = default_workers() if workers is None else workers
    if count < 1:
        raise Usage(f"`{count}` workers do no work")
    job = Job(function, items, arrays or {}, blanks or {}, min(count, max(len(items), 1)))
    return job.run(probe=probe)


class Job(Generic[T, R]):
    """One call of `map_ordered`."""

    def __init__(
        self,
        function: Callable[[T, Arrays], R],
        items: Sequence[T],
        arrays: Arrays,
        blanks: Mapping[str, Blank],
        workers: int,
    ) -> None:
        self.function = function
        self.items = items
        self.arrays = arrays
        self.blanks = blanks
        self.workers = workers
        self.began = time.perf_counter()

    def run(self, *, probe: bool) -> Mapped[R]:
        if self.workers == 1:
            return self.here([], self.new_blanks(), "one worker is this process", None)
        if not probe:
            return self.by_workers("asked for without a probe", None)
        filled = self.new_blanks()
        done, each = self.probed(filled)
        serial = each * len(self.items)
        start = STARTS["again" if "measured" in STARTS else "first"]
        rest = each * (len(self.items) - len(done))
        spread = start + serial / self.workers
        figures = f"{rest:.2f} s of work left, {spread:.2f} s with {self.workers} processes"
        if spread >= WORTH * rest:
            return self.here(done, filled, figures, serial)
        return self.by_workers(figures, serial)

    def new_blanks(self) -> dict[str, np.ndarray]:
        return {name: np.zeros(spec.shape, spec.dtype) for name, spec in self.blanks.items()}

    def probed(self, filled: Mapping[str, np.ndarray]) -> tuple[list[R], float]:
        """Results of the first items, and the seconds that each of them took."""
        done: list[R] = []
        start = time.perf_counter()
        given = {**self.arrays, **filled}
        while len(done) < len(self.items) and time.perf_counter() - start < PROBE_SECONDS:
            done.append(self.function(self.items[len(done)], given))
        return done, (time.perf_counter() - start) / max(len(done), 1)

    def here(
        self,
        done: list[R],
        filled: Mapping[str, np.ndarray],
        reason: str,
        serial: float | None,
    ) -> Mapped[R]:
        given = {**self.arrays, **filled}
        results = [*done, *(self.function(item, given) for item in self.items[len(done) :])]
        return Mapped(tuple(results), filled, self.report("here", 1, reason, 0.0, serial))

    def by_workers(self, reason: str, serial: float | None) -> Mapped[R]:
        chunks = self.chunks(serial)
        if not self.arrays and not self.blanks:
            results, start = self.collect(Layout(None, {}), chunks)
            filled: dict[str, np.ndarray] = {}
        else:
            try:
                with shared(self.arrays, self.blanks) as (layout, memory):
                    results, start = self.collect(layout, chunks)
                    filled = taken_out(memory, layout)
            except TooLittleSharedMemory as error:
                return self.here([], self.new_blanks(), str(error), serial)
        report = self.report("processes", self.workers, reason, start, serial)
        return Mapped(results, filled, report)

    def collect(
        self, layout: Layout, chunks: Sequence[tuple[int, Sequence[T]]]
    ) -> tuple[tuple[R, ...], float]:
        """All results in order, and the seconds until the workers were ready."""
        begun = time.perf_counter()
        found: dict[int, Any] = {}
        with Workers(self.workers, self.function, layout) as workers:
            workers.ready()
            start = time.perf_counter() - begun
            STARTS["again" if "measured" in STARTS else "measured"] = start
            for first, results in workers.apply(chunks):
                found.update(enumerate(results, start=first))
        return tuple(found[at] for at in range(len(self.items))), start

    def chunks(self, serial: float | None) -> list[tuple[int, Sequence[T]]]:
        """Items that travel together: enough work for the way, enough chunks to even out."""
        many = len(self.items)
        most = math.ceil(many / (self.workers * CHUNKS_EACH))
        wanted = 1 if not serial else math.ceil(CHUNK_SECONDS * many / serial)
        size = max(1, min(wanted, most))
        return [(at, self.items[at : at + size]) for at in range(0, many, size)]

    def report(
        self,
        way: Literal["here", "processes"],
        workers: int,
        reason: str,
        start: float,
        serial: float | None,
    ) -> MapReport:
        seconds = time.perf_counter() - self.began
        return MapReport(len(self.items), workers, way, reason, seconds, start, serial)
