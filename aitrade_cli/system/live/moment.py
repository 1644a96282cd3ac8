"""Two readings make a moment: rates where the readings hold totals."""

from __future__ import annotations

from dataclasses import dataclass

from aitrade_cli.system.live.job import JobSample
from aitrade_cli.system.live.machine import MachineSample


@dataclass(frozen=True, slots=True)
class Reading:
    """Job and machine at one time.

    Attributes:
        unix_seconds: of the wall clock, for records.
        clock_seconds: of a clock that never jumps, for rates.
    """

    unix_seconds: float
    clock_seconds: float
    job: JobSample
    machine: MachineSample


@dataclass(frozen=True, slots=True)
class Moment:
    """What happened between two readings. Rates are a second; None: the system does not say.

    Attributes:
        cpu_cores: cores' worth of time that the job took.
        stalled_shares: by resource, share of the time in which some work of the host waited.
        throttled_share: share of the time in which the job's control group was stopped.
        sampler_share: of one core, that reading all this took.
    """

    unix_seconds: float
    seconds: float
    cpu_cores: float
    rss_bytes: int
    uss_bytes: int | None
    read_bytes_per_second: float | None
    write_bytes_per_second: float | None
    switches_voluntary_per_second: float
    switches_involuntary_per_second: float
    threads: int
    processes: int
    stalled_shares: dict[str, float]
    throttled_share: float | None
    gpu_busy_shares: tuple[float, ...]
    gpu_memory_bytes: tuple[int, ...]
    sampler_share: float


def moment_between(before: Reading, after: Reading, sampler_share: float) -> Moment:
    """The rates between two readings of one job, ``after`` the later."""
    seconds = max(after.clock_seconds - before.clock_seconds, 1e-6)
    old, new = before.job, after.job
    stalled = {
        name: min(max((total - before.machine.stall_seconds.get(name, total)) / seconds, 0.0), 1.0)
        for name, total in after.machine.stall_seconds.items()
    }
    return Moment(
        unix_seconds=after.unix_seconds,
        seconds=seconds,
        cpu_cores=max(new.cpu_seconds - old.cpu_seconds, 0.0) / seconds,
        rss_bytes=new.rss_bytes,
        uss_bytes=new.uss_bytes,
        read_bytes_per_second=rate(old.read_bytes, new.read_bytes, seconds),
        write_bytes_per_second=rate(old.write_bytes, new.write_bytes, seconds),
        switches_voluntary_per_second=(new.switches_voluntary - old.switches_voluntary) / seconds,
        switches_involuntary_per_second=(new.switches_involuntary - old.switches_involuntary)
        / seconds,
        threads=new.threads,
        processes=new.processes,
        stalled_shares=stalled,
        throttled_share=rate(
            before.machine.throttled_seconds, after.machine.throttled_seconds, seconds
        ),
        gpu_busy_shares=tuple(gpu.busy_share for gpu in after.machine.gpus),
        gpu_memory_bytes=tuple(gpu.memory_used_bytes for gpu in after.machine.gpus),
        sampler_share=sampler_share,
    )


def rate(before: float | int | None, after: float | int | None, seconds: float) -> float | None:
    if before is None or after is None:
        return None
    return max(after - before, 0) / seconds
