"""One process and its descendants, read as cheaply as the system allows."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from aitrade_cli.errors import BadInput, Missing

USS_SHARE: Final = 0.003  # of the time may go into counting private pages, which is dear
USS_SECONDS: Final = 2.0  # and it is counted no more often than this


class NotRunning(BadInput):
    """No process has that number."""

    default_hint = "`pgrep -af python` lists what runs"

    def __init__(self, pid: int) -> None:
        super().__init__(f"no process has the number `{pid}`")


class ProcessForbidden(Missing):
    """The process belongs to somebody else."""

    default_hint = "run aitrade as the user whose process it is, or as root"

    def __init__(self, pid: int) -> None:
        super().__init__(f"process `{pid}` may not be looked into")


@dataclass(frozen=True, slots=True)
class JobSample:
    """One reading; counters are totals since each process began, summed, and never fall.

    Attributes:
        processes: the job and its descendants that could be read.
        unreadable: descendants that could not.
        cpu_seconds: user and system.
        uss_bytes: memory that nobody else holds; None where it was not counted yet.
        uss_age_seconds: how old that figure is.
        read_bytes, write_bytes: from and to disks; None where the system does not say.
        switches_voluntary: gave the processor up by itself.
        switches_involuntary: was put off it.
    """

    name: str
    processes: int
    unreadable: int
    threads: int
    cpu_seconds: float
    rss_bytes: int
    uss_bytes: int | None
    uss_age_seconds: float | None
    read_bytes: int | None
    write_bytes: int | None
    switches_voluntary: int
    switches_involuntary: int


@dataclass(slots=True)
class Counted:
    """What one process has used, kept when it ends: a total must not fall."""

    cpu_seconds: float = 0.0
    read_bytes: int | None = None
    write_bytes: int | None = None
    voluntary: int = 0
    involuntary: int = 0


class Job:
    """The process that is watched.

    Raises:
        NotRunning: there is none.
        ProcessForbidden: it may not be read.
    """

    def __init__(self, pid: int) -> None:
        try:
            self._root = psutil.Process(pid)
            self._name = self._root.name()
            self._root.num_ctx_switches()
            if hasattr(self._root, "io_counters"):
                self._root.io_counters()
        except psutil.NoSuchProcess:
            raise NotRunning(pid) from None
        except psutil.AccessDenied:
            raise ProcessForbidden(pid) from None
        self.pid = pid
        self._known: dict[int, psutil.Process] = {pid: self._root}
        self._counted: dict[tuple[int, float], Counted] = {}
        self._uss: int | None = None
        self._uss_at = self._uss_next = 0.0

    def sample(self) -> JobSample | None:
        """Read it now; None where it has ended."""
        try:
            if not self._root.is_running() or self._root.status() == psutil.STATUS_ZOMBIE:
                return None
            alive = list(self._family())
        except psutil.NoSuchProcess:
            return None
        rss = threads = unreadable = 0
        for process in alive:
            try:
                with process.oneshot():
                    rss += process.memory_info().rss
                    threads += process.num_threads()
                    self._count(process)
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                unreadable += 1
        uss, age = self._private(alive)
        totals = list(self._counted.values())
        reads = [one.read_bytes for one in totals if one.read_bytes is not None]
        writes = [one.write_bytes for one in totals if one.write_bytes is not None]
        return JobSample(
            name=self._name,
            processes=len(alive) - unreadable,
            unreadable=unreadable,
            threads=threads,
            cpu_seconds=sum(one.cpu_seconds for one in totals),
            rss_bytes=rss,
            uss_bytes=uss,
            uss_age_seconds=age,
            read_bytes=sum(reads) if reads else None,
            write_bytes=sum(writes) if writes else None,
            switches_voluntary=sum(one.voluntary for one in totals),
            switches_involuntary=sum(one.involuntary for one in totals),
        )

    def _count(self, process: psutil.Process) -> None:
        kept = self._counted.setdefault((process.pid, process.create_time()), Counted())
        times, switches = process.cpu_times(), process.num_ctx_switches()
        kept.cpu_seconds = times.user + times.system
        kept.voluntary, kept.involuntary = switches.voluntary, switches.involuntary
        if hasattr(process, "io_counters"):
            io = process.io_counters()
            kept.read_bytes, kept.write_bytes = io.read_bytes, io.write_bytes

    def _family(self) -> Iterator[psutil.Process]:
        """The job and its descendants, those known already by the object that was made then."""
        found: dict[int, psutil.Process] = {}
        for pid in descendants(self._root):
            process = self._known.get(pid)
            if process is None or not process.is_running():
                with suppress(psutil.NoSuchProcess):
                    process = psutil.Process(pid)
            if process is not None:
                found[pid] = process
        self._known = found
        yield from found.values()

    def _private(self, alive: list[psutil.Process]) -> tuple[int | None, float | None]:
        """Private memory, counted as seldom as its price asks for."""
        now = time.monotonic()
        if now >= self._uss_next:
            start, total = time.process_time(), 0
            for process in alive:
                with suppress(psutil.Error):
                    total += process.memory_full_info().uss
            cost = time.process_time() - start
            self._uss, self._uss_at = total, now
            self._uss_next = now + max(USS_SECONDS, cost / USS_SHARE)
        return self._uss, None if self._uss is None else now - self._uss_at


def descendants(root: psutil.Process) -> list[int]:
    """Numbers of the process and all below it.

    The kernel's own lists where it has them: else every process of the machine is looked at.
    """
    found, queue = [root.pid], [root.pid]
    while queue:
        folder = Path(f"/proc/{queue.pop()}/task")
        try:
            for task in folder.iterdir():
                children = [int(word) for word in (task / "children").read_text().split()]
                found += children
                queue += children
        except FileNotFoundError:
            if len(found) == 1:
                with suppress(psutil.Error):
                    return [root.pid, *(child.pid for child in root.children(recursive=True))]
        except OSError:
            continue  # it ended meanwhile
    return found
