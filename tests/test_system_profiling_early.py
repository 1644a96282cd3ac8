"""What ends early, hangs or can happen once only: told as it is, and nothing seen is lost."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from aitrade_cli.system.profiling import collectors, process, profiler, sampling
from aitrade_cli.system.profiling.collectors import Collected, collect, why_not
from aitrade_cli.system.profiling.given_input import input_is_piped
from aitrade_cli.system.profiling.launch import Order, Run, run
from aitrade_cli.system.profiling.process import profile_process
from aitrade_cli.system.profiling.profiler import InputOnce, Wanted, profile_program
from aitrade_cli.system.profiling.sampling import OutsideSampler
from aitrade_cli.system.profiling.target import Program
from tests.profiling_cases import ended, program, script
from tests.soak import profile as soak
from tests.test_system_profiling_trials import ADVICE, QUICKER

PATIENT = """#!{python}
import json, os, signal, sys

path = sys.argv[sys.argv.index("--output") + 1]
frames = [{{"file": "/srv/job.py", "line": 3, "name": "main"}}]
sampled = {{"name": 'Thread {pid} "MainThread"', "samples": [[0]], "weights": [0.5]}}


def write(*_):
    with open(path, "w") as file:
        json.dump({{"shared": {{"frames": frames}}, "profiles": [sampled]}}, file)
    os._exit(0)


signal.signal(signal.SIGINT, write)
print("Sampling process", flush=True)
while True:
    signal.pause()
"""


@pytest.fixture
def patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sampler that writes what it has when it is interrupted, as py-spy does, and else never."""
    path = tmp_path / "py-spy"
    path.write_text(PATIENT.format(python=sys.executable, pid=os.getpid()))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sampling, "py_spy", lambda: str(path))
    return tmp_path


@pytest.mark.usefixtures("patient")
def test_an_interrupted_look_at_a_process_keeps_its_samples(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process, "watch", lambda *_: ([], True))
    report = profile_process(os.getpid(), 120.0).report
    assert report.interrupted
    assert [one.status for one in report.collectors if one.name == "py-spy"] == ["ran"]
    assert report.lines[0].place.endswith("job.py:3")


def test_a_sampler_that_does_not_end_is_told_to_write_before_it_is_killed(
    patient: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling, "FINISH_SECONDS", 0.05)
    sampler = OutsideSampler(patient, seconds=120.0)
    sampler.attach(os.getpid())
    sampler.finish()
    assert sampler.stacks(os.getpid()) is not None


def test_an_interrupt_under_a_collector_ends_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[Order] = []

    def interrupted(order: Order) -> Run:
        ran.append(order)
        return replace(ended(1.0, code=130), interrupted=True)

    monkeypatch.setattr(collectors, "run", interrupted)
    monkeypatch.setattr(collectors, "why_not", lambda *_: "")
    done = collect(Program(("x",), "python", ("x",)), ("cprofile", "memray"), 1.0)
    assert done.interrupted
    assert len(ran) == 1
    assert [(one.status, one.reason) for one in done.lines] == [
        ("skipped", "interrupted"),
        ("skipped", "interrupted before it"),
    ]


def test_after_it_no_fix_is_tried_and_the_report_says_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(profiler, "run", lambda _: ended(1.0))
    monkeypatch.setattr(profiler, "collect", lambda *_: Collected(interrupted=True))
    monkeypatch.setattr(profiler, "findings_of", lambda _: [QUICKER, ADVICE])
    monkeypatch.setattr(profiler, "try_fixes", never)
    report = profile_program(Program(("x",)), Wanted(("hooks",), fixes=True)).report
    assert report.interrupted
    assert [one.kind for one in report.findings] == ["advice"]
    assert [one.fix.text for one in report.untried] == ["its fix was not tried: interrupted"]


def test_a_collector_that_is_killed_says_when_and_against_what(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collectors, "run", lambda _: ended(10.5, killed=True))
    monkeypatch.setattr(collectors, "why_not", lambda *_: "")
    done = collect(Program(("x",), "python", ("x",)), ("cprofile",), 0.5)
    assert done.lines[0].reason == "past 10.5 s; the first run took 0.5 s"


def test_scalene_is_not_given_a_module() -> None:
    module = Program(("python", "-m", "a.b"), sys.executable, ("-m", "a.b"))
    assert "name the module's file" in why_not("scalene", module)


@contextmanager
def reading(descriptor: int) -> Iterator[None]:
    """Stdin is that file or pipe."""
    kept = os.dup(0)
    os.dup2(descriptor, 0)
    try:
        yield
    finally:
        os.dup2(kept, 0)
        os.close(kept)


def test_every_run_reads_a_file_that_is_given_on_stdin(tmp_path: Path) -> None:
    path = script(tmp_path, "import sys\nprint(sys.stdin.read())\n")
    (tmp_path / "bars.csv").write_text("1,2,3\n")
    order = Order(program(path), quiet=True)
    with open(tmp_path / "bars.csv", "rb") as file, reading(file.fileno()):
        first, again = run(order), run(order)
        assert os.read(0, 100) == b"1,2,3\n"
    assert first.output_sha256 == again.output_sha256
    with open(os.devnull, "rb") as empty, reading(empty.fileno()):
        assert run(order).output_sha256 != first.output_sha256


def test_what_is_piped_in_can_be_read_once(tmp_path: Path) -> None:
    path = script(tmp_path, "print(input())\n")
    source, sink = os.pipe()
    with reading(source):
        assert not input_is_piped()  # a pipe that nobody writes to, as a build may have
        os.write(sink, b"1,2,3\n")
        assert input_is_piped()
        for wanted in (Wanted(fixes=True), Wanted(("hooks", "cprofile"))):
            with pytest.raises(InputOnce, match="read once"):
                profile_program(program(path), wanted)
    os.close(source)
    os.close(sink)


def test_a_kernel_that_cannot_tell_of_an_end_is_asked_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused(_: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "pidfd_open", refused)
    done = run(Order(Program(("sh", "-c", "exit 3")), quiet=True))
    assert done.exit_code == 3
    assert done.peak_bytes > 0


@pytest.mark.parametrize(("share", "well"), [(0.149, True), (0.2, False)])
def test_the_soak_would_notice_watching_that_costs_too_much(
    share: float, well: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[int] = []

    def taken(steps: int, *, watched: bool) -> float:
        asked.append(steps)
        return (2.0 + 0.01 * steps) * (1.0 + share * watched)

    assert soak.cheap(60.0, 3, taken) is well
    assert set(asked[2:]) == {5700}  # 57 s of steps, and what the first probe took
    assert "may 15%" in capsys.readouterr().out
