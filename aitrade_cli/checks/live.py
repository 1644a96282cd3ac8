"""Proof of S5: watching a job costs under a hundredth of a core and counts what it took."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families

from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import refreshing
from aitrade_cli.system.live.report import SAMPLER_MOST, LiveNow, LiveReport
from aitrade_cli.system.live.watcher import Outlets, watch

# Burns a core, asks for some memory, and has a child that burns some too.
JOB = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", BURN.format(BURN_SECONDS / 2)])
held = bytearray(50_000_000)
exec(BURN.format(BURN_SECONDS))
child.wait()
time.sleep(1.2)
"""
BURN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass"
BURN_SECONDS = {True: 1.0, False: 20.0}
SCREEN_MOST = 0.02  # of a core: a person looks at it for minutes, not for days
MOST_OFF = 0.1  # of the job's CPU seconds: what starts and ends between two readings is missed


def watching_is_cheap(quick: bool) -> CheckResult:
    """Two readings a second into textfile and ring: what they cost, what they see; then drawn."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    report, text = watched(BURN_SECONDS[quick], lambda _: None)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    screen = Screen()
    with refreshing(screen) as show:
        drawn, _ = watched(BURN_SECONDS[True], lambda now: show(view(now)))
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    told = total_of(text, "aitrade_job_cpu_seconds")
    return CheckResult(
        Measured(),
        (
            Bound("cost of watching", share_of(report), SAMPLER_MOST, "at_most", "of a core"),
            Bound("the same with a screen", share_of(drawn), SCREEN_MOST, "at_most", "of a core"),
            Bound("CPU seconds off", abs(told / used - 1.0), MOST_OFF, "at_most", "of the job's"),
            Bound("end of the textfile", float(text.endswith("# EOF\n")), 1.0, "at_least", "there"),
        ),
        f"a job of two processes watched for {report.watched_seconds:.1f} s, 2 readings a second,"
        " each written as OpenMetrics and into a ring; then again with the screen drawn",
        (
            Case("watched", None, None, f"{told:.2f} CPU seconds of {used:.2f} by the kernel"),
            Case(
                "drawn", None, None, f"{len(screen.getvalue()) / drawn.samples:,.0f} letters each"
            ),
            Case("not read here", None, None, "; ".join(report.missing) or "nothing"),
        ),
        (Bound("the same with a screen", share_of(drawn), SAMPLER_MOST, "at_most", "of a core"),),
    )


class Screen(io.StringIO):
    """A terminal that keeps what is drawn on it."""

    def isatty(self) -> bool:
        return True


def watched(burn: float, show: Callable[[LiveNow], None]) -> tuple[LiveReport, str]:
    """One job from start to end: the report, and the textfile as it was last written."""
    with tempfile.TemporaryDirectory(prefix="aitrade-check-") as place:
        outlets = Outlets(Path(place) / "job.prom", Path(place) / "job.jsonl", 100)
        code = f"BURN, BURN_SECONDS = {BURN!r}, {burn}\n{JOB}"
        with subprocess.Popen([sys.executable, "-c", code]) as job:
            report = watch(job.pid, outlets=outlets, show=show).report
        return report, (Path(place) / "job.prom").read_text(encoding="utf-8")


def share_of(report: LiveReport) -> float:
    return 1.0 if report.sampler_share is None else report.sampler_share


def total_of(text: str, name: str) -> float:
    """A counter's total as the format's own parser reads it."""
    families = {family.name: family for family in text_string_to_metric_families(text)}
    return float(families[name].samples[0].value)
