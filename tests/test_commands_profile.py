"""`aitrade profile` as a person types it: streams, files, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.profiling_cases import script
from tests.shell import PROGRAM, ROOT, aitrade, surroundings

LOOP = """
    import sys

    def weigh(prices):
        total = 0.0
        for price in prices:
            total += price * 1.0001
        return total

    prices = [float(one) for one in range(20_000)]
    for _ in range(int(sys.argv[1])):
        weigh(prices)
    print("what the program prints")
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    folder = tmp_path_factory.mktemp("profile")
    script(folder, LOOP)
    words = ("--flamegraph", "f.svg", "--trace", "t.json", "--plot", "p.svg", "--json")
    return folder, aitrade("profile", *words, "job.py", "--", "600", cwd=folder)


def test_the_report_takes_stdout_and_the_program_stderr(
    done: tuple[Path, subprocess.CompletedProcess],
) -> None:
    _, ended = done
    assert ended.returncode == 0, ended.stderr
    assert b"what the program prints" in ended.stderr
    line = json.loads(ended.stdout)
    assert (line["command"], line["kind"]) == ("profile", "report")
    assert line["data"]["findings"][0]["kind"] == "python_loop"
    assert line["data"]["verdict"].endswith("job.py:6")


def test_pictures_and_traces_are_written(done: tuple[Path, subprocess.CompletedProcess]) -> None:
    folder, _ = done
    assert "weigh (job.py:6)" in (folder / "f.svg").read_text()
    assert json.loads((folder / "t.json").read_text())["traceEvents"]
    assert (folder / "p.svg").read_text().count("<svg") == 1


def test_a_file_that_is_there_is_not_replaced(
    done: tuple[Path, subprocess.CompletedProcess],
) -> None:
    folder, _ = done
    again = aitrade("profile", "--flamegraph", "f.svg", "job.py", "--", "1", cwd=folder)
    assert again.returncode == 6


def test_slower_than_the_baseline_exits_1(
    done: tuple[Path, subprocess.CompletedProcess], tmp_path: Path
) -> None:
    folder, ended = done
    line = json.loads(ended.stdout)
    line["data"]["wall_seconds"] /= 50
    (tmp_path / "earlier.ndjson").write_text(json.dumps(line))
    words = ("--baseline", str(tmp_path / "earlier.ndjson"), "job.py", "--", "300")
    worse = aitrade("profile", "--collect", "hooks", *words, cwd=folder)
    assert worse.returncode == 1
    assert b"Against the baseline" in worse.stdout


def test_a_program_that_fails_exits_4_and_is_quoted(tmp_path: Path) -> None:
    script(tmp_path, "raise SystemExit('no bars here')\n")
    ended = aitrade("profile", "--collect", "hooks", "job.py", cwd=tmp_path)
    assert ended.returncode == 4
    assert b"ended with 1 after" in ended.stderr
    assert b"no bars here" in ended.stderr


def test_interrupted_it_reports_what_it_saw_and_exits_130(tmp_path: Path) -> None:
    script(tmp_path, LOOP)
    running = subprocess.Popen(
        [*PROGRAM, "profile", "--collect", "hooks", "job.py", "--", "1000000"],
        cwd=tmp_path, env=surroundings(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert running.stderr is not None
    assert b"running" in running.stderr.readline()  # the program begins now
    time.sleep(1.0)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert b"(interrupted: " in out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, b"nothing to profile"),
        (("--pid", "1", "job.py"), 2, b"which of the two"),
        (("nowhere.py",), 4, b"no file and no program"),
        (("--flamegraph", "f.txt", "x.py"), 2, b"f.txt"),
        (("--collect", "gut", "--", sys.executable, "-c", "1"), 2, b"`gut`"),
        (("fixtures/models/mlp.pt", "more"), 2, b"takes no arguments"),
        (("--try-fixes", "--rounds", "2", "x.py"), 2, b"--rounds"),
        (("--baseline", "README.md", "--", "sleep", "1"), 4, b"holds no report"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], code: int, said: bytes) -> None:
    ended = aitrade("profile", *words, cwd=ROOT)
    assert (ended.returncode, said in ended.stderr) == (code, True), ended.stderr


def test_a_fix_is_tried_and_the_measurement_replaces_the_prediction(tmp_path: Path) -> None:
    path = script(tmp_path, LOOP)
    before = path.read_text()
    words = ("--try-fixes", "--rounds", "3", "--json", "--collect", "hooks", "job.py", "--", "60")
    ended = aitrade("profile", *words, cwd=tmp_path, env={"PYTHONMALLOC": "debug"})
    assert ended.returncode == 0, ended.stderr
    data = json.loads(ended.stdout)["data"]
    told = [*data["findings"], *data["unconfirmed"]]
    tried = next(one["trial"] for one in told if one["kind"] == "debug_switch")
    assert tried["rounds"] in {3, 6, 9, 12}  # as the noise of the machine will have it
    assert (tried["failed"], tried["output"]) == ("", "the same")
    assert all(one["trial"] is None or one["trial"]["confirmed"] for one in data["findings"])
    assert path.read_text() == before
