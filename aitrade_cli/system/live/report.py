"""A watched run in figures, on screen and as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Literal

from aitrade_cli.report.blocks import Block, Facts, Notes, Verdict, view
from aitrade_cli.report.plot import Curve, Figure, Panel
from aitrade_cli.system.live.moment import Moment, Reading
from aitrade_cli.units import (
    DASH,
    bytes_text,
    count_text,
    number_text,
    seconds_text,
    share_text,
)

Ended = Literal["the process ended", "the time was up", "interrupted"]
LEVELS: Final = "▁▂▃▄▅▆▇█"
SPARK_CELLS: Final = 32  # beside label and figure in 80 columns
SAMPLER_MOST: Final = 0.01  # of one core


@dataclass(frozen=True, slots=True)
class LiveNow:
    """The newest reading with the moments that led to it, for a screen."""

    reading: Reading
    moments: Sequence[Moment]
    missing: Sequence[str]
    watched_seconds: float


@dataclass(frozen=True, slots=True)
class LiveReport:
    """What a process and its children took while it was watched.

    Attributes:
        ended: why watching ended.
        cpu_cores_mean, cpu_cores_peak: cores' worth of time; None before a second reading.
        stalled_shares: by resource, mean share of the time in which work of the host waited.
        throttled_share: mean; None where the system does not say.
        sampler_share: of one core, that watching took, drawing and writing included.
        missing: what could not be read, each with the reason.
        failures: files that could not be written, each with the reason.
    """

    pid: int
    name: str
    watched_seconds: float
    samples: int
    ended: Ended
    cpu_cores_mean: float | None
    cpu_cores_peak: float | None
    rss_bytes_peak: int
    uss_bytes: int | None
    read_bytes: int | None
    write_bytes: int | None
    switches_involuntary_per_second: float | None
    threads_peak: int
    processes_peak: int
    stalled_shares: dict[str, float]
    throttled_share: float | None
    sampler_share: float | None
    missing: tuple[str, ...]
    failures: tuple[str, ...]

    @property
    def interrupted(self) -> bool:
        return self.ended == "interrupted"


def sparkline(values: Sequence[float | int], cells: int = SPARK_CELLS) -> str:
    """The newest values as bars from 0 to the highest; blank where there is no value yet."""
    shown = values[-cells:]
    top = max(shown, default=0.0)
    steps = [round(value / top * (len(LEVELS) - 1)) if top > 0 else 0 for value in shown]
    return "".join(LEVELS[step] for step in steps)


def curve_text(figure: str, values: Sequence[float | int]) -> str:
    return f"{figure:<16}{sparkline(values)}"


def processes_text(count: int) -> str:
    return "1 process" if count == 1 else f"{count_text(count)} processes"


def per_second(value: float | None) -> str:
    return DASH if value is None else f"{bytes_text(value)}/s"


@view.register
def _(now: LiveNow) -> Sequence[Block]:
    # An hour of moments is thousands; no curve here shows more than its cells.
    job, moments = now.reading.job, list(islice(reversed(now.moments), SPARK_CELLS))[::-1]
    title = f"{job.name} ({seconds_text(now.watched_seconds)})"
    if not moments:
        return (Facts(title, (("Memory", bytes_text(job.rss_bytes)),)),)
    last = moments[-1]
    age = f", {seconds_text(job.uss_age_seconds)} ago" if (job.uss_age_seconds or 0) >= 1 else ""
    rows = [
        ("CPU", curve_text(f"{last.cpu_cores:.2f} cores", [m.cpu_cores for m in moments])),
        ("Memory", curve_text(bytes_text(job.rss_bytes), [m.rss_bytes for m in moments])),
        ("Private memory", bytes_text(job.uss_bytes) + age),
        (
            "Disk",
            f"read {per_second(last.read_bytes_per_second)},"
            f" written {per_second(last.write_bytes_per_second)}",
        ),
        (
            "Put off a core",
            curve_text(
                f"{last.switches_involuntary_per_second:.0f}/s",
                [m.switches_involuntary_per_second for m in moments],
            ),
        ),
        ("Threads", f"{count_text(job.threads)} in {processes_text(job.processes)}"),
    ]
    return (Facts(title, rows), Facts("This machine", machine_rows(now, moments)))


def machine_rows(now: LiveNow, moments: Sequence[Moment]) -> list[tuple[str, str]]:
    last = moments[-1]
    rows = [
        (
            f"Waited for {name}",
            curve_text(share_text(share), [m.stalled_shares.get(name, 0.0) for m in moments]),
        )
        for name, share in last.stalled_shares.items()
    ]
    if last.throttled_share is not None:
        rows.append(("Stopped by a limit", share_text(last.throttled_share)))
    rows += [
        (f"GPU {at}", f"{share_text(gpu.busy_share, 0)} busy, {bytes_text(gpu.memory_used_bytes)}")
        for at, gpu in enumerate(now.reading.machine.gpus)
    ]
    rows += [
        (what, f"{DASH} {reason}") for what, _, reason in (m.partition(": ") for m in now.missing)
    ]
    rows.append(("Watching takes", f"{share_text(last.sampler_share, 2)} of one core"))
    return rows


@view.register
def _(report: LiveReport) -> Sequence[Block]:
    rows = [
        ("CPU, mean", f"{number_text(report.cpu_cores_mean, 2)} cores"),
        ("CPU, peak", f"{number_text(report.cpu_cores_peak, 2)} cores"),
        ("Memory, peak", bytes_text(report.rss_bytes_peak)),
        ("Private memory", bytes_text(report.uss_bytes)),
        ("Read from disks", bytes_text(report.read_bytes)),
        ("Written to disks", bytes_text(report.write_bytes)),
        ("Put off a core", f"{number_text(report.switches_involuntary_per_second, 1)} a second"),
        ("Threads, peak", f"{report.threads_peak} in {processes_text(report.processes_peak)}"),
        *((f"Waited for {k}", share_text(v)) for k, v in report.stalled_shares.items()),
        ("Stopped by a limit", share_text(report.throttled_share)),
        ("Watching took", f"{share_text(report.sampler_share, 2)} of one core"),
    ]
    said = f"`{report.name}` ({report.pid}), {seconds_text(report.watched_seconds)}"
    blocks: list[Block] = [Verdict(f"{said}: {report.ended}"), Facts("", rows)]
    notes = [*report.missing, *report.failures]
    if report.sampler_share is not None and report.sampler_share > SAMPLER_MOST:
        notes.append("watching took more than 1 % of a core: a longer `--interval` takes less")
    return (*blocks, Notes("Not read or not written", notes)) if notes else blocks


def figure_of(report: LiveReport, moments: Sequence[Moment]) -> Figure:
    """CPU, memory and pressure over the time that was watched."""
    start = moments[0].unix_seconds if moments else 0.0
    at = [moment.unix_seconds - start for moment in moments]
    stalls = [
        Curve(name, at, [moment.stalled_shares.get(name, 0.0) * 100 for moment in moments])
        for name in report.stalled_shares
    ]
    panels = [
        Panel("CPU", [Curve("cores", at, [m.cpu_cores for m in moments])], "seconds", "cores"),
        Panel("Memory", [Curve("MB", at, [m.rss_bytes / 1e6 for m in moments])], "seconds", "MB"),
    ]
    if stalls:
        panels.append(Panel("Some work waited for", stalls, "seconds", "% of the time"))
    return Figure(f"{report.name} ({report.pid})", panels, (f"{report.samples} readings",))
