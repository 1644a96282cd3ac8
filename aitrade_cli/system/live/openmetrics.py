"""A reading as an OpenMetrics text, for a scraper that reads files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import (
    CollectorRegistry,
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
)
from prometheus_client.openmetrics.exposition import generate_latest

from aitrade_cli.system.live.moment import Reading

PREFIX = "aitrade_job"
END = b"# EOF\n"


def is_textfile(head: bytes) -> bool:
    """Whether a file that begins so is one of ours, or still empty."""
    return head == END or (head.startswith(b"# ") and b" aitrade_" in head)


def openmetrics(reading: Reading, sampler_seconds: float) -> bytes:
    """The text of one reading, ``# EOF`` at its end. Units are in the names, totals in ``_total``.

    Args:
        reading: what to tell; what the system does not say is left out.
        sampler_seconds: CPU that watching has taken so far.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Once(list(families(reading, sampler_seconds))))
    return generate_latest(registry)


class Once:
    """A collector of what is known already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def families(reading: Reading, sampler_seconds: float) -> Iterator[Metric]:
    job, machine = reading.job, reading.machine
    said = {"job": job.name}
    gauges: tuple[tuple[str, str, str, float | int | None], ...] = (
        ("rss_bytes", "Resident memory of the job and its children", "bytes", job.rss_bytes),
        ("uss_bytes", "Memory that nobody else holds", "bytes", job.uss_bytes),
        ("threads", "Threads", "", job.threads),
        ("processes", "The job and its children", "", job.processes),
    )
    counters: tuple[tuple[str, str, str, float | int | None], ...] = (
        ("cpu_seconds", "User and system time", "seconds", job.cpu_seconds),
        ("read_bytes", "Read from disks", "bytes", job.read_bytes),
        ("written_bytes", "Written to disks", "bytes", job.write_bytes),
        ("voluntary_switches", "Gave the processor up", "", job.switches_voluntary),
        ("involuntary_switches", "Was put off the processor", "", job.switches_involuntary),
        ("throttled_seconds", "Stopped by a limit", "seconds", machine.throttled_seconds),
        ("out_of_memory_kills", "In the control group", "", machine.out_of_memory_kills),
        ("memory_limit_hits", "Of the control group", "", machine.memory_limit_hits),
        ("sampler_cpu_seconds", "What watching took", "seconds", sampler_seconds),
    )
    for name, text, unit, value in gauges:
        if value is not None:
            gauge = GaugeMetricFamily(f"{PREFIX}_{name}", text, labels=["job"], unit=unit)
            gauge.add_metric([said["job"]], value)
            yield gauge
    for name, text, unit, value in counters:
        if value is not None:
            counter = CounterMetricFamily(f"{PREFIX}_{name}", text, labels=["job"], unit=unit)
            counter.add_metric([said["job"]], value)
            yield counter
    yield from of_the_host(reading)


def of_the_host(reading: Reading) -> Iterator[Metric]:
    machine = reading.machine
    stalls = CounterMetricFamily(
        "aitrade_host_stalled_seconds",
        "Some work waited for the resource",
        labels=["resource"],
        unit="seconds",
    )
    for name, seconds in machine.stall_seconds.items():
        stalls.add_metric([name], seconds)
    if machine.stall_seconds:
        yield stalls
    if machine.gpus:
        busy = GaugeMetricFamily(
            "aitrade_gpu_busy_ratio", "Share of time", labels=["gpu"], unit="ratio"
        )
        memory = GaugeMetricFamily("aitrade_gpu_memory_bytes", "Used", labels=["gpu"], unit="bytes")
        for at, gpu in enumerate(machine.gpus):
            busy.add_metric([str(at)], gpu.busy_share)
            memory.add_metric([str(at)], gpu.memory_used_bytes)
        yield busy
        yield memory
    taken = GaugeMetricFamily(
        "aitrade_sample_timestamp_seconds", "When this was read", unit="seconds"
    )
    taken.add_metric([], reading.unix_seconds)
    yield taken
