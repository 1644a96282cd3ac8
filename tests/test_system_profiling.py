"""A program is run unchanged, watched from inside and outside, and read right."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from aitrade_cli.system.profiling.baseline import against, read_baseline
from aitrade_cli.system.profiling.launch import Order, run
from aitrade_cli.system.profiling.process import NoSuchProcess, profile_process
from aitrade_cli.system.profiling.profiler import ProgramFailed, Wanted, profile_program
from aitrade_cli.system.profiling.sampling import py_spy
from aitrade_cli.system.profiling.target import (
    ModelFile,
    NoSuchTarget,
    NotAProgram,
    NothingToProfile,
    Program,
    target_of,
)
from aitrade_cli.system.profiling.trace import chrome_trace
from tests.profiling_cases import program, script
from tests.soak.profile import SCRIPTS, WANTED, first_of

HOOKS_ONLY = Wanted(("hooks",))
SPIN = """
    import time

    def busy(seconds):
        until = time.perf_counter() + seconds
        total = 0
        while time.perf_counter() < until:
            total += sum(range(50))
        return total

    busy({seconds})
"""


def test_a_script_is_told_from_a_model_and_a_command(tmp_path: Path) -> None:
    path = script(tmp_path, "import os\n", "train")
    assert target_of([str(path), "--steps", "5"]) == Program(
        (str(path), "--steps", "5"), sys.executable, (str(path), "--steps", "5")
    )
    model = tmp_path / "looks_like.py"
    model.write_bytes(b"PK\x03\x04\x00\x00 not text")
    assert target_of([str(model)]) == ModelFile(str(model))
    assert target_of(["sleep", "1"]) == Program(("sleep", "1"))


def test_python_before_a_script_runs_it_in_that_interpreter(tmp_path: Path) -> None:
    path = script(tmp_path, "import os\n")
    found = target_of([sys.executable, str(path), "-v"])
    assert found == Program((sys.executable, str(path), "-v"), sys.executable, (str(path), "-v"))
    module = target_of([sys.executable, "-m", "timeit"])
    assert isinstance(module, Program)
    assert module.script == ("-m", "timeit")


def test_what_cannot_be_profiled_is_told_apart(tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("buy low, sell high\n")
    with pytest.raises(NothingToProfile):
        target_of([])
    with pytest.raises(NoSuchTarget, match=r"nowhere\.py"):
        target_of(["nowhere.py"])
    with pytest.raises(NoSuchTarget, match=r"gone\.py"):
        target_of([sys.executable, "gone.py"])
    with pytest.raises(NotAProgram):
        target_of([str(notes)])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory):  # noqa: ANN201
    path = script(tmp_path_factory.mktemp("job"), SPIN.format(seconds=0.9))
    return path, profile_program(program(path), Wanted(("hooks", "py-spy"), events=True))


def test_the_hot_line_is_found_without_an_edit(watched) -> None:  # noqa: ANN001
    path, done = watched
    first = done.report.findings[0]
    assert (first.kind, first.place) == ("python_loop", f"{path}:7")
    assert first.share > 0.5
    assert first.gain_low <= first.gain_high


def test_the_report_says_what_watching_cost_and_what_watched(watched) -> None:  # noqa: ANN001
    _, done = watched
    report = done.report
    assert report.overhead_share is not None
    assert report.overhead_measured is False
    assert {one.name for one in report.collectors if one.status == "ran"} >= {"hooks"}
    assert report.memory is not None
    assert report.memory.peak_bytes > 5e6
    assert sum(one.share for one in report.phases) == pytest.approx(1.0, abs=0.02)


def test_a_trace_holds_memory_as_a_counter(watched) -> None:  # noqa: ANN001
    _, done = watched
    rows = json.loads(chrome_trace([("forward", 0.1, 0.2)], done.report.memory))["traceEvents"]
    assert {"ph": "X", "ts": 100_000.0, "dur": 200_000.0}.items() <= rows[1].items()
    assert any(row["ph"] == "C" and row["args"]["bytes"] > 0 for row in rows)


def test_a_script_sees_its_own_arguments_name_and_folder(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        """
        import sys, pathlib, neighbour
        assert __name__ == "__main__"
        assert sys.argv[1:] == ["--steps", "3"]
        assert pathlib.Path(__file__).name == "job.py"
        assert sys.modules["__main__"].__file__ == __file__
        print(neighbour.VALUE)
        """,
    )
    script(tmp_path, "VALUE = 41\n", "neighbour.py")
    done = run(Order(program(path, "--steps", "3"), hooks=True, quiet=True))
    assert (done.exit_code, done.last_words) == (0, ())
    assert done.evidence is not None


def test_other_text_stands_in_for_a_file_and_for_what_it_imports(tmp_path: Path) -> None:
    path = script(tmp_path, "import neighbour\nraise SystemExit(neighbour.CODE)\n")
    beside = script(tmp_path, "CODE = 1\n", "neighbour.py")
    order = Order(program(path), quiet=True, texts={str(beside): "CODE = 7\n"})
    assert run(order).exit_code == 7
    other = Order(program(path), quiet=True, texts={str(path): "raise SystemExit(9)\n"})
    assert run(other).exit_code == 9
    assert run(Order(program(path), quiet=True)).exit_code == 1


def test_a_program_that_fails_hands_its_words_on(tmp_path: Path) -> None:
    path = script(tmp_path, "raise ValueError('no bars')\n")
    with pytest.raises(ProgramFailed, match=r"ended with 1 .*ValueError: no bars") as caught:
        profile_program(program(path), HOOKS_ONLY)
    assert caught.value.exit_code == 4


def test_the_traceback_of_a_failure_is_the_scripts_own(tmp_path: Path) -> None:
    path = script(tmp_path, "def f():\n    raise ValueError('no bars')\n\nf()\n")
    words = run(Order(program(path), hooks=True, quiet=True)).last_words
    assert words[0] == "Traceback (most recent call last):"
    assert not any("hooks" in one for one in words)


def test_a_command_that_is_no_python_gets_the_host_and_a_reason() -> None:
    report = profile_program(Program(("sleep", "0.3"))).report
    reasons = {one.name: one.reason for one in report.collectors}
    assert "python SCRIPT" in reasons["hooks"]
    assert reasons["py-spy"] != ""
    assert report.wall_seconds >= 0.3


def interrupt_after(seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    return timer


def test_what_was_seen_before_an_interrupt_is_reported(tmp_path: Path) -> None:
    path = script(tmp_path, SPIN.format(seconds=60))
    timer = interrupt_after(1.2)
    report = profile_program(program(path), HOOKS_ONLY).report
    timer.join()
    assert report.interrupted
    assert report.wall_seconds < 20
    assert report.lines


def test_a_program_past_its_limit_is_killed_with_all_it_started(tmp_path: Path) -> None:
    path = script(tmp_path, "import subprocess, sys\nsubprocess.run(['sleep', '60'])\n")
    begun = time.monotonic()
    done = run(Order(program(path), quiet=True, limit_seconds=0.3))
    assert done.killed
    assert time.monotonic() - begun < 20


def test_a_running_process_is_watched_and_goes_on(tmp_path: Path) -> None:
    if py_spy() is None:
        pytest.skip("py-spy is not installed")
    path = script(tmp_path, SPIN.format(seconds=20))
    import subprocess

    with subprocess.Popen([sys.executable, str(path)]) as process:
        try:
            time.sleep(0.4)
            report = profile_process(process.pid, 1.0).report
            assert process.poll() is None
        finally:
            process.kill()
    sampler = next(one for one in report.collectors if one.name == "py-spy")
    if sampler.status != "ran":
        pytest.skip(sampler.reason)
    assert report.lines[0].function == "busy"
    assert report.lines[0].share > 0.5


def test_a_process_that_is_not_there_is_said_so() -> None:
    with pytest.raises(NoSuchProcess):
        profile_process(2**22 + 5, 0.1)


def test_a_baseline_is_held_against(tmp_path: Path, watched) -> None:  # noqa: ANN001
    report = watched[1].report
    earlier = {"wall_seconds": report.wall_seconds / 2, "findings": [], "memory": None}
    path = tmp_path / "b.ndjson"
    line = {"aitrade": 1, "command": "profile", "kind": "report", "data": earlier}
    path.write_text(f"noise\n{json.dumps(line)}\n")
    worse = against(report, read_baseline(str(path)), 0.1).against
    assert worse is not None
    assert worse.worse
    assert worse.wall_ratio == pytest.approx(2.0, rel=0.01)
    same = {
        "wall_seconds": report.wall_seconds,
        "findings": [{"kind": "python_loop", "share": 0.9}],
    }
    equal = against(report, same, 0.1).against
    assert equal is not None
    assert not equal.worse
    assert equal.new_findings == ()


def test_scripts_that_no_rule_was_written_for_are_told_right() -> None:
    assert sorted(WANTED) == sorted(path.stem for path in SCRIPTS.glob("*.py"))
    assert first_of("tables") == WANTED["tables"]  # `make soak` runs all twelve
