"""Profile a process that runs already: samples and the host, no hooks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

import psutil

from aitrade_cli.errors import BadInput, Missing
from aitrade_cli.system.profiling.evidence import evidence_of
from aitrade_cli.system.profiling.health import (
    debug_switches,
    environment_of,
    health_between,
    read_host,
)
from aitrade_cli.system.profiling.launch import Run
from aitrade_cli.system.profiling.profiler import Profiled, report_of
from aitrade_cli.system.profiling.report import CollectorLine
from aitrade_cli.system.profiling.rules import findings_of
from aitrade_cli.system.profiling.sampling import OutsideSampler
from aitrade_cli.system.profiling.target import Program
from aitrade_cli.system.profiling.trials import Tried

SECONDS: Final = 10.0
LOOK_SECONDS: Final = 0.1


class NoSuchProcess(BadInput):
    """No process has that number."""


class CannotLookInside(Missing):
    """The sampler may not look into that process."""

    default_hint = "run as its owner, or as root; in a container with the SYS_PTRACE capability"


def profile_process(
    pid: int, seconds: float | None = None, say: Callable[[str], None] = lambda _: None
) -> Profiled:
    """Watch a running process for some seconds; it goes on as before.

    Args:
        pid: its number.
        seconds: how long; 10 without it.
        say: told what happens.

    Raises:
        NoSuchProcess: there is none, or it ended.
        CannotLookInside: it may not be looked into.
    """
    seconds = SECONDS if seconds is None else seconds
    try:
        process = psutil.Process(pid)
        words = tuple(process.cmdline()) or (process.name(),)
        begun_cpu = cpu_seconds(process)
    except (psutil.Error, OverflowError) as error:
        raise NoSuchProcess(f"there is no process {pid}") from error
    say(f"watching {pid} for {seconds:g} s")
    before, begun = read_host(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="aitrade-profile-") as folder:
        sampler = OutsideSampler(Path(folder), seconds=seconds)
        sampler.attach(pid)
        rows, interrupted = watch(process, seconds)
        used = sampler.finish(early=interrupted)
        stacks, data = sampler.stacks(pid), sampler.file()
    if stacks is None and "not permitted" in sampler.reason:
        raise CannotLookInside(f"cannot look into process {pid}")
    wall = time.perf_counter() - begun
    cpu = max(rows[-1][4] - begun_cpu, 0.0) if rows else 0.0
    seen = Run(
        exit_code=0, wall_seconds=wall, cpu_seconds=cpu,
        peak_bytes=max((int(row[1]) for row in rows), default=0), output_sha256="",
        last_words=(), pid=pid, interrupted=interrupted, stacks=stacks, speedscope=data,
        evidence={"samples": rows, "wall_seconds": wall, "exit_code": 0},
        sampler_cpu_seconds=used, sampler_reason=sampler.reason,
    )  # fmt: skip
    environment = environment_of(pid)
    evidence = evidence_of(seen, environment, psutil.virtual_memory().available)
    health = health_between(before, read_host(), cpu + used, debug_switches(environment))
    report = report_of(
        Program((f"process {pid}:", *words)), seen, evidence,
        Tried(tuple(findings_of(evidence)), (), None), health, collectors(seen),
    )  # fmt: skip
    return Profiled(report, stacks, data)


def watch(process: psutil.Process, seconds: float) -> tuple[list[list[float]], bool]:
    """Memory and CPU time until the time is over, the process ends, or ^C."""
    rows: list[list[float]] = []
    begun = time.perf_counter()
    try:
        while (at := time.perf_counter() - begun) < seconds:
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                held = process.memory_info().rss
                rows.append([at, float(held), 0.0, 0.0, cpu_seconds(process)])
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                break
            time.sleep(LOOK_SECONDS)
    except psutil.NoSuchProcess:
        return rows, False
    except KeyboardInterrupt:
        return rows, True
    return rows, False


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def collectors(seen: Run) -> list[CollectorLine]:
    found = [CollectorLine("hooks", "skipped", "it runs already")]
    if seen.stacks is None:
        return [*found, CollectorLine("py-spy", "skipped", seen.sampler_reason)]
    return [*found, CollectorLine("py-spy", "ran", "", round(seen.wall_seconds, 3))]
