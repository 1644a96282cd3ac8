"""Watch a process from outside until it ends."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Final

from aitrade_cli.errors import BadInput, WouldOverwrite
from aitrade_cli.files import refresh
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.system.live.job import Job
from aitrade_cli.system.live.machine import Machine
from aitrade_cli.system.live.moment import Moment, Reading, moment_between
from aitrade_cli.system.live.openmetrics import END, is_textfile, openmetrics
from aitrade_cli.system.live.report import Ended, LiveNow, LiveReport
from aitrade_cli.system.live.ring import Ring, is_ring

INTERVAL_SECONDS: Final = 0.5
HEAD_BYTES: Final = 4096  # of a file, to see whose it is
MOMENTS_KEPT: Final = 7_200  # an hour at two a second; older ones are in the sums only

Show = Callable[[LiveNow], None]


@dataclass(frozen=True, slots=True)
class Outlets:
    """Files that are written while watching; one that is not ours is replaced by ``force`` only."""

    openmetrics: Path | None = None
    jsonl: Path | None = None
    keep: int = 1_000  # lines of the JSONL
    force: bool = False


@dataclass(frozen=True, slots=True)
class Watched:
    """The report and the newest moments behind it."""

    report: LiveReport
    moments: tuple[Moment, ...]


def watch(
    pid: int,
    *,
    seconds: float | None = None,
    interval_s: float = INTERVAL_SECONDS,
    outlets: Outlets | None = None,
    show: Show | None = None,
) -> Watched:
    """Read a process and its children until it ends, ``seconds`` are over or ^C.

    Args:
        pid: of a process that is not this one: what watches must not be what works.
        seconds: to watch at most, > 0.
        interval_s: between two readings, > 0.
        outlets: files to write at every reading.
        show: called after every reading.

    Raises:
        NotRunning: there is no such process.
        ProcessForbidden: it may not be read.
        BadInput: a file cannot be written.
        WouldOverwrite: a file holds something that no watch wrote.
    """
    watcher = Watcher(pid, outlets or Outlets(), show or (lambda _: None))
    try:
        ended = watcher.run(seconds, interval_s)
    finally:
        watcher.close()
    return watcher.watched(ended)


class Watcher:
    """One watched run."""

    def __init__(self, pid: int, outlets: Outlets, show: Show) -> None:
        self.job = Job(pid)
        self.machine = Machine(pid)
        self.outlets = outlets
        self.show = show
        self.readings = 0
        self.first: Reading | None = None
        self.last: Reading | None = None
        self.moments: deque[Moment] = deque(maxlen=MOMENTS_KEPT)
        self.failures: dict[str, int] = {}
        self.cpu_peak: float | None = None
        self.rss_peak = self.threads_peak = self.processes_peak = 0
        self.cpu_before = 0.0
        self.ring = ready(outlets)

    def run(self, seconds: float | None, interval_s: float) -> Ended:
        begun = time.monotonic()
        try:
            while self.step():
                now = time.monotonic()
                if seconds is not None and now - begun >= seconds:
                    return "the time was up"
                # On a grid, so that what one reading takes does not shift all later ones.
                wait = interval_s - (now - begun) % interval_s
                time.sleep(wait if seconds is None else min(wait, begun + seconds - now))
        except KeyboardInterrupt:
            return "interrupted"
        return "the process ended"

    def step(self) -> bool:
        """One reading, told and written; False where the process has ended."""
        sample = self.job.sample()
        if sample is None:
            return False
        reading = Reading(time.time(), time.monotonic(), sample, self.machine.sample())
        self.readings += 1
        if self.first is None or self.last is None:
            self.first = reading
        else:
            self.add(moment_between(self.last, reading, self.sampler_share(reading)))
        self.last = reading
        self.rss_peak = max(self.rss_peak, sample.rss_bytes)
        self.threads_peak = max(self.threads_peak, sample.threads)
        self.processes_peak = max(self.processes_peak, sample.processes)
        self.write(reading)
        self.show(
            LiveNow(reading, self.moments, self.machine.missing, self.watched_seconds(reading))
        )
        if self.readings == 1:  # the first writes and draws load what they need
            self.cpu_before = time.process_time()
        return True

    def add(self, moment: Moment) -> None:
        self.moments.append(moment)
        self.cpu_peak = max(self.cpu_peak or 0.0, moment.cpu_cores)
        if self.ring is not None:
            ring = self.ring
            self.attempt(lambda: ring.add(to_data(moment)))

    def write(self, reading: Reading) -> None:
        path = self.outlets.openmetrics
        if path is not None:
            self.attempt(lambda: refresh(path, openmetrics(reading, time.process_time())))

    def attempt(self, write: Callable[[], None]) -> None:
        """A disk that is full for a while must not end the watch; it is told in the report."""
        try:
            write()
        except OSError as error:
            said = f"`{error.filename}`: {error.strerror}"
            self.failures[said] = self.failures.get(said, 0) + 1

    def sampler_share(self, reading: Reading) -> float:
        """Of one core, since the first reading was shown; what came before is start-up."""
        return (time.process_time() - self.cpu_before) / max(self.watched_seconds(reading), 1e-6)

    def watched_seconds(self, reading: Reading) -> float:
        return 0.0 if self.first is None else reading.clock_seconds - self.first.clock_seconds

    def close(self) -> None:
        self.machine.close()
        if self.ring is not None:
            self.attempt(self.ring.trim)

    def watched(self, ended: Ended) -> Watched:
        if self.first is None or self.last is None:
            raise BadInput(f"process `{self.job.pid}` ended before it could be read")
        first, last = self.first, self.last
        whole = moment_between(first, last, self.sampler_share(last)) if self.moments else None
        job = last.job
        report = LiveReport(
            pid=self.job.pid,
            name=job.name,
            watched_seconds=self.watched_seconds(last),
            samples=self.readings,
            ended=ended,
            cpu_cores_mean=whole.cpu_cores if whole else None,
            cpu_cores_peak=self.cpu_peak,
            rss_bytes_peak=self.rss_peak,
            uss_bytes=job.uss_bytes,
            read_bytes=difference(first.job.read_bytes, job.read_bytes),
            write_bytes=difference(first.job.write_bytes, job.write_bytes),
            switches_involuntary_per_second=(
                whole.switches_involuntary_per_second if whole else None
            ),
            threads_peak=self.threads_peak,
            processes_peak=self.processes_peak,
            stalled_shares=means([moment.stalled_shares for moment in self.moments]),
            throttled_share=whole.throttled_share if whole else None,
            sampler_share=whole.sampler_share if whole else None,
            missing=tuple(self.machine.missing),
            failures=tuple(f"{said} ({many} times)" for said, many in self.failures.items()),
        )
        return Watched(report, tuple(self.moments))


def ready(outlets: Outlets) -> Ring | None:
    """Make the folders and the ring; what cannot be written is told before the watch begins.

    Raises:
        WouldOverwrite: a file holds something that no watch wrote.
        BadInput: a file cannot be written.
    """
    try:
        if not outlets.force:
            refuse_foreign(outlets)
        for path in (outlets.openmetrics, outlets.jsonl):
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
        if outlets.openmetrics is not None:
            refresh(outlets.openmetrics, END)
        return None if outlets.jsonl is None else Ring(outlets.jsonl, outlets.keep)
    except OSError as error:
        raise BadInput(f"cannot write `{error.filename}`: {error.strerror}") from error


def refuse_foreign(outlets: Outlets) -> None:
    for path, is_ours in ((outlets.openmetrics, is_textfile), (outlets.jsonl, is_ring)):
        if path is None or not path.is_file():
            continue
        with open(path, "rb") as file:
            if (head := file.read(HEAD_BYTES)) and not is_ours(head):
                raise WouldOverwrite(str(path))


def difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else max(after - before, 0)


def means(shares: Sequence[dict[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for one in shares for name in one)
    return {name: fmean(one.get(name, 0.0) for one in shares) for name in names}
