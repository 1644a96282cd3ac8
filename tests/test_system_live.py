"""What is read of a real process agrees with the kernel, and what is written can be parsed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from aitrade_cli.errors import BadInput, WouldOverwrite
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from aitrade_cli.system.live import job as job_module
from aitrade_cli.system.live.job import Job, JobSample, NotRunning, ProcessForbidden
from aitrade_cli.system.live.machine import Gpu, MachineSample
from aitrade_cli.system.live.moment import Reading, moment_between
from aitrade_cli.system.live.openmetrics import openmetrics
from aitrade_cli.system.live.report import LEVELS, LiveNow, figure_of, sparkline
from aitrade_cli.system.live.ring import Ring
from aitrade_cli.system.live.watcher import Outlets, Watcher, ready, watch

JOB = JobSample("train", 2, 0, 5, 1.5, 10**6, None, None, None, 300, 7, 8)
MACHINE = MachineSample({"cpu": 10.0, "io": 1.0}, 0.5, 4, None, None, ())
FIRST = Reading(1000.0, 50.0, JOB, MACHINE)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process with a child; both sleep until their stdin ends."""
    code = (
        "import subprocess, sys\n"
        "held = bytearray(30_000_000)\n"
        "inner = 'print(1, flush=True); input()'\n"
        "child = subprocess.Popen([sys.executable, '-c', inner], stdin=subprocess.PIPE,\n"
        "                         stdout=subprocess.PIPE)\n"
        "child.stdout.readline()\n"  # by now it holds what it will hold
        "print('ready', flush=True)\n"
        "sys.stdin.read()\n"
        "child.communicate(b'end')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield process
        if process.poll() is None:
            process.kill()


def test_a_job_is_read_with_its_children(sleeper: subprocess.Popen[bytes]) -> None:
    sample = Job(sleeper.pid).sample()
    assert sample is not None
    known = psutil.Process(sleeper.pid)
    family = [known, *known.children(recursive=True)]
    assert sample.processes == len(family) == 2
    assert sample.threads == sum(one.num_threads() for one in family)
    assert sample.rss_bytes == pytest.approx(sum(one.memory_info().rss for one in family), rel=0.1)
    assert sample.rss_bytes > 30_000_000
    assert sample.uss_bytes is not None
    assert 30_000_000 < sample.uss_bytes <= sample.rss_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="the lists of children are Linux's")
def test_children_are_those_that_a_look_at_every_process_finds(
    sleeper: subprocess.Popen[bytes],
) -> None:
    root = psutil.Process(sleeper.pid)
    slow = {root.pid, *(child.pid for child in root.children(recursive=True))}
    assert set(job_module.descendants(root)) == slow


def test_the_watch_ends_with_the_process(sleeper: subprocess.Popen[bytes], tmp_path: Path) -> None:
    def end(now: LiveNow) -> None:
        if len(now.moments) == 3:
            assert sleeper.stdin is not None
            sleeper.stdin.close()

    outlets = Outlets(tmp_path / "new" / "job.prom", tmp_path / "job.jsonl", keep=2)
    watched = watch(sleeper.pid, interval_s=0.02, outlets=outlets, show=end)
    assert watched.report.ended == "the process ended"
    assert watched.report.samples >= 4
    assert watched.report.failures == ()
    lines = [json.loads(line) for line in (tmp_path / "job.jsonl").read_text().splitlines()]
    assert len(lines) == 2
    assert lines[-1]["rss_bytes"] == watched.moments[-1].rss_bytes
    names = families_in((tmp_path / "new" / "job.prom").read_text())
    assert {"aitrade_job_cpu_seconds", "aitrade_job_rss_bytes"} <= names
    assert figure_of(watched.report, watched.moments).panels[0].title == "CPU"


def test_the_watch_ends_when_the_time_is_up(sleeper: subprocess.Popen[bytes]) -> None:
    watched = watch(sleeper.pid, seconds=0.05, interval_s=0.02)
    assert watched.report.ended == "the time was up"
    assert sleeper.poll() is None


def test_an_interrupt_ends_the_watch_with_its_report(
    sleeper: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    def interrupt(now: LiveNow) -> None:
        if now.moments:
            raise KeyboardInterrupt

    outlets = Outlets(jsonl=tmp_path / "job.jsonl")
    report = watch(sleeper.pid, interval_s=0.02, outlets=outlets, show=interrupt).report
    assert report.interrupted
    assert len((tmp_path / "job.jsonl").read_text().splitlines()) == 1


def test_a_number_that_no_process_has_is_told() -> None:
    with pytest.raises(NotRunning, match="`999999999`") as caught:
        Job(999999999)
    assert caught.value.exit_code == 4


def test_a_process_of_somebody_else_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def deny(self: psutil.Process) -> None:
        raise psutil.AccessDenied(self.pid)

    monkeypatch.setattr(psutil.Process, "num_ctx_switches", deny)
    with pytest.raises(ProcessForbidden) as caught:
        Job(os.getpid())
    assert caught.value.exit_code == 5


def test_totals_do_not_fall_when_a_child_ends(sleeper: subprocess.Popen[bytes]) -> None:
    job = Job(sleeper.pid)
    before = job.sample()
    (child,) = psutil.Process(sleeper.pid).children()
    child.kill()
    psutil.wait_procs([child], timeout=0.1)
    after = job.sample()
    assert before is not None
    assert after is not None
    assert after.cpu_seconds >= before.cpu_seconds


def test_a_disk_that_fills_up_is_told_and_does_not_end_the_watch(
    sleeper: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher = Watcher(sleeper.pid, Outlets(tmp_path / "a.prom"), lambda _: None)

    def full(path: Path, _: bytes) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("aitrade_cli.system.live.watcher.refresh", full)
    assert watcher.step()
    assert watcher.step()
    watcher.close()
    (said,) = watcher.watched("the time was up").report.failures
    assert "No space left on device (2 times)" in said


def test_a_file_that_cannot_be_made_is_told_before_the_watch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="cannot write"):
        watch(os.getppid(), outlets=Outlets(tmp_path / "file" / "a.prom"))


@pytest.mark.parametrize("outlet", ["openmetrics", "jsonl"])
def test_a_file_that_no_watch_wrote_is_not_replaced(tmp_path: Path, outlet: str) -> None:
    path = tmp_path / "train.log"
    path.write_text("epoch 1\n")
    outlets = Outlets(path) if outlet == "openmetrics" else Outlets(jsonl=path)
    with pytest.raises(WouldOverwrite, match=r"train\.log"):
        ready(outlets)
    assert path.read_text() == "epoch 1\n"
    ready(replace(outlets, force=True))
    assert path.read_text() != "epoch 1\n"
    ready(outlets)  # what it left itself is replaced without a word


def families_in(text: str) -> set[str]:
    assert text.endswith("# EOF\n")
    return {family.name for family in text_string_to_metric_families(text)}


def test_the_textfile_says_what_was_read_in_the_words_of_the_format() -> None:
    gpu = Gpu("card", 0.5, 10, 20, None, None)
    reading = replace(FIRST, machine=replace(MACHINE, gpus=(gpu,), out_of_memory_kills=1))
    text = openmetrics(reading, 0.25).decode()
    found = {family.name: family for family in text_string_to_metric_families(text)}
    assert found["aitrade_job_cpu_seconds"].type == "counter"
    assert found["aitrade_job_cpu_seconds"].samples[0].name == "aitrade_job_cpu_seconds_total"
    assert found["aitrade_job_cpu_seconds"].samples[0].value == 1.5
    assert found["aitrade_job_cpu_seconds"].unit == "seconds"
    assert found["aitrade_job_rss_bytes"].type == "gauge"
    assert found["aitrade_gpu_busy_ratio"].samples[0].labels == {"gpu": "0"}
    stalls = found["aitrade_host_stalled_seconds"].samples
    assert {one.labels["resource"]: one.value for one in stalls} == {"cpu": 10.0, "io": 1.0}
    assert "aitrade_job_read_bytes" not in found  # what is not known is not said


def test_a_hostile_name_is_escaped() -> None:
    reading = replace(FIRST, job=replace(JOB, name='x"\n\\y'))
    (first, *_) = text_string_to_metric_families(openmetrics(reading, 0.0).decode())
    assert first.samples[0].labels == {"job": 'x"\n\\y'}


def test_a_moment_is_the_rate_between_two_readings() -> None:
    later = Reading(
        1002.0,
        52.0,
        replace(JOB, cpu_seconds=4.5, write_bytes=700, switches_involuntary=18),
        replace(MACHINE, stall_seconds={"cpu": 11.0, "io": 1.0}, throttled_seconds=1.0),
    )
    moment = moment_between(FIRST, later, 0.004)
    assert moment.cpu_cores == 1.5
    assert moment.write_bytes_per_second == 200
    assert moment.read_bytes_per_second is None
    assert moment.switches_involuntary_per_second == 5
    assert moment.stalled_shares == {"cpu": 0.5, "io": 0.0}
    assert moment.throttled_share == 0.25


@given(st.lists(st.integers(0, 100), max_size=60), st.integers(1, 40))
def test_a_sparkline_rises_where_its_values_do(values: list[int], cells: int) -> None:
    line = sparkline(values, cells)
    assert len(line) == min(len(values), cells)
    heights = [LEVELS.index(mark) for mark in line]
    assert sorted(heights) == [h for _, h in sorted(zip(values[-cells:], heights, strict=True))]


@given(st.integers(1, 6), st.integers(0, 30))
def test_a_ring_holds_the_newest_lines_and_stays_small(
    tmp_path_factory: pytest.TempPathFactory, keep: int, many: int
) -> None:
    path = tmp_path_factory.mktemp("ring") / "r.jsonl"
    ring = Ring(path, keep)
    for at in range(many):
        ring.add({"at": at})
        lines = [json.loads(line)["at"] for line in path.read_text().splitlines()]
        assert len(lines) < 2 * keep + 1
        assert lines[-min(keep, at + 1) :] == list(range(max(at + 1 - keep, 0), at + 1))
    ring.trim()
    kept = [json.loads(line)["at"] for line in path.read_text().splitlines()]
    assert kept == list(range(max(many - keep, 0), many))


def test_the_screen_fits_eighty_columns() -> None:
    moment = moment_between(FIRST, replace(FIRST, clock_seconds=51.0), 0.004)
    now = LiveNow(FIRST, [moment] * 60, ["GPU: NVML Shared Library Not Found"], 30.0)
    out = StringIO()
    draw(view(now), out)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "0.40 % of one core" in out.getvalue()
    assert "GPU" in out.getvalue()
