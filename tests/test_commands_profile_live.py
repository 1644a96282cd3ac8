"""`aitrade profile --live` as a person types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.passes_cases import typed
from tests.shell import PROGRAM, ROOT, surroundings

PID = str(os.getppid())


def test_lines_where_there_is_no_screen_and_a_report_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = ("--openmetrics", f"{tmp_path}/m/job.prom", "--jsonl", f"{tmp_path}/j", "--keep", "3")
    picture = ("--plot", f"{tmp_path}/live.svg")
    limits = ("--seconds", "0.4", "--interval", "0.1")
    assert typed(monkeypatch, "profile", "--live", "--pid", PID, *limits, *files, *picture) == 0
    out, err = capsys.readouterr()
    assert "profile: " in err
    assert "the time was up" in out
    assert "Watching took" in out
    assert max(map(len, out.splitlines())) <= 80
    assert (tmp_path / "m" / "job.prom").read_text().endswith("# EOF\n")
    assert len((tmp_path / "j").read_text().splitlines()) <= 3
    assert (tmp_path / "live.svg").stat().st_size > 1000


def test_json_is_an_object_for_every_reading_and_one_for_the_report(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    limits = ("--seconds", "0.3", "--interval", "0.1", "--json")
    assert typed(monkeypatch, "profile", "--live", "--pid", PID, *limits) == 0
    out, err = capsys.readouterr()
    assert {json.loads(line)["kind"] for line in err.splitlines()} == {"progress"}
    assert "cpu_cores" in json.loads(err.splitlines()[0])["data"]
    assert json.loads(out)["data"]["ended"] == "the time was up"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--pid", "999999999"), 4, "no process has the number"),
        ((), 2, "--pid NUMBER"),
        (("--pid", PID, "script.py"), 2, "--pid NUMBER"),
        (("--pid", PID, "--plot", "p.txt"), 2, "no picture"),
        (("--pid", PID, "--flamegraph", "f.svg"), 2, "has no `--flamegraph`"),
        (("--pid", PID, "--try-fixes"), 2, "has no `--try-fixes`"),
        (("--pid", PID, "--jsonl", "pyproject.toml"), 6, "already exists"),
    ],
)
def test_what_cannot_be_watched_is_told(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert typed(monkeypatch, "profile", "--live", *words) == code
    assert said in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX's")
def test_an_interrupt_prints_the_report_and_exits_130() -> None:
    with subprocess.Popen(
        [*PROGRAM, "profile", "--live", "--pid", PID, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=surroundings(),
        cwd=ROOT,
    ) as program:
        assert program.stderr is not None
        assert program.stdout is not None
        program.stderr.readline()  # a reading: it is in its loop
        time.sleep(0.05)
        program.send_signal(signal.SIGINT)
        out = program.stdout.read()
    assert program.returncode == 130
    assert json.loads(out)["data"]["ended"] == "interrupted"
