"""Each row in a process of its own; whatever happens to it, a line comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from aitrade_cli.catalog import ROWS, Claim
from aitrade_cli.checks import runner
from aitrade_cli.checks.runner import (
    UnknownRow,
    answer_of,
    line_from_answer,
    rows_named,
    run_alone,
    run_checks,
)
from tests.lines import HELD, ROW, line, row

ANSWER = {
    "result": {
        "measured": {"speedup": 3.5, "speedup_low": None, "speedup_high": None, "memory_saved": 0},
        "bounds": [
            {
                "name": "agreement",
                "measured": 1,
                "limit": 0.99,
                "sense": "at_least",
                "unit": "share",
                "passed": True,
            }
        ],
        "conditions": "cpu",
        "cases": [{"name": "lstm", "speedup": 3.5, "memory_saved": None, "note": ""}],
        "goals": [],
    }
}


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def done(code: int, out: str, err: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.CompletedProcess([], code, out, err)


@pytest.mark.parametrize(
    ("only", "ids"),
    [
        (["G1"], ["G1"]),
        (["g1,M4"], ["M4", "G1"]),
        (["G1", " M5 ,", "G1"], ["M5", "G1"]),
        ([], [row.id for row in ROWS]),
        ([","], [row.id for row in ROWS]),
    ],
)
def test_rows_come_in_the_order_of_the_catalogue(only: list[str], ids: list[str]) -> None:
    assert [row.id for row in rows_named(only)] == ids


def test_an_unknown_row_is_named_with_the_ones_that_are_known() -> None:
    with pytest.raises(UnknownRow, match="there is no row `Z9`") as failure:
        rows_named(["G1,Z9"])
    assert "G1" in failure.value.hint


def test_numbers_come_back_from_the_process_and_are_judged_here() -> None:
    found = line_from_answer(row(claim=Claim(3.0, None)), ANSWER)
    assert (found.status, found.measured.speedup) == ("held", 3.5)
    assert found.bounds[0].passed
    assert found.cases[0].name == "lstm"
    assert found.conditions == "cpu"


def test_what_is_missing_here_is_unavailable_and_not_bad() -> None:
    found = line_from_answer(ROW, {"unavailable": "no GPU"})
    assert (found.status, found.reason, found.bad) == ("unavailable", "no GPU", False)
    assert found.measured.speedup is None


@pytest.mark.parametrize(
    ("process", "reason"),
    [
        (done(1, "", "Traceback\nValueError: odd"), "ended with 1: ValueError: odd"),
        (done(-9, "", ""), "ended with -9: no word on stderr"),
        (done(0, "warming up\nnot json\n"), "answered `not json`"),
        (done(0, "", ""), "ended with 0: no word on stderr"),
    ],
)
def test_a_process_that_says_nothing_useful_fails_with_a_reason(
    process: subprocess.CompletedProcess[str], reason: str
) -> None:
    found = line_from_answer(ROW, answer_of(process))
    assert found.status == "failed"
    assert found.reason is not None
    assert reason in found.reason


def test_words_of_a_library_before_the_answer_do_not_matter() -> None:
    assert answer_of(done(0, 'loading…\n{"unavailable": "x"}\n')) == {"unavailable": "x"}


def test_a_row_whose_check_is_not_there_fails_and_says_so() -> None:
    found = runner.run_check(row("no.module:function"), quick=True, timeout_seconds=600.0)
    assert found.status == "failed"
    assert found.wall_seconds > 0


def test_a_row_that_takes_too_long_fails_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(words: list[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired(words, timeout_seconds)

    monkeypatch.setattr(runner, "run_alone", late)
    found = runner.run_check(ROW, quick=False, timeout_seconds=2.0)
    assert (found.status, found.reason) == ("failed", "no answer within 2 s")


def alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{process_id}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3000)"])
open({file!r}, "w").write(str(child.pid))
{then}
"""


def grandchild_of_a_check(file: Path, then: str, timeout_seconds: float) -> int:
    """Start one, let its check end or be ended, and say which process it was."""
    with suppress(subprocess.TimeoutExpired):
        run_alone(python(GRANDCHILD.format(file=str(file), then=then)), timeout_seconds)
    if file.exists() and file.read_text():
        return int(file.read_text())
    # A machine that is busy did not even get there: give it more time.
    return grandchild_of_a_check(file, then, 2 * timeout_seconds)


@pytest.mark.parametrize("then", ["time.sleep(3000)", "sys.exit(0)"])
def test_nothing_that_a_check_started_outlives_it(tmp_path: Path, then: str) -> None:
    process_id = grandchild_of_a_check(tmp_path / "pid", then, timeout_seconds=3.0)
    for _ in range(6000):
        if not alive(process_id):
            return
        time.sleep(0.05)
    pytest.fail("a process of the check is still running")


def test_an_answer_does_not_wait_for_what_the_check_left_behind(tmp_path: Path) -> None:
    then = "print('answer'); sys.exit(0)"
    code = GRANDCHILD.format(file=str(tmp_path / "pid"), then=then)
    found = run_alone(python(code), timeout_seconds=2000.0)
    assert (found.returncode, found.stdout) == (0, "answer\n")


def test_bytes_that_are_no_text_are_spelt_out() -> None:
    found = run_alone(python("import os; os.write(1, b'\\xff')"), timeout_seconds=600.0)
    assert found.stdout == "\\xff"


def test_lines_come_one_by_one_with_progress_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "run_check", lambda *_, **__: HELD)
    said: list[str] = []
    lines = run_checks([ROW, ROW], quick=False, say=said.append)
    assert next(lines) == HELD
    assert said == ["░░ 0/2  T0 A promise"]
    assert list(lines) == [HELD]
    assert said[1:] == ["█░ 1/2  T0 A promise", "██ 2/2"]


@pytest.mark.parametrize(("row_seconds", "expected"), [(50.0, 120.0), (119.0, 52.0), (119.0, 1.0)])
def test_quick_shares_a_quarter_of_an_hour_between_the_rows(
    monkeypatch: pytest.MonkeyPatch, row_seconds: float, expected: float
) -> None:
    clock = [0.0]
    limits: list[float] = []

    def run(*_: object, timeout_seconds: float, **__: object) -> object:
        limits.append(timeout_seconds)
        clock[0] += min(row_seconds, timeout_seconds)
        return HELD

    monkeypatch.setattr(runner.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(runner, "run_check", run)
    list(run_checks([ROW] * 9, quick=True))
    assert expected in limits
    assert clock[0] <= 900.0


def test_a_timeout_that_was_asked_for_holds_for_each_row(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    monkeypatch.setattr(
        runner, "run_check", lambda *_, timeout_seconds, **__: limits.append(timeout_seconds)
    )
    list(run_checks([ROW] * 3, quick=True, timeout_seconds=400.0))
    assert limits == [400.0] * 3


@pytest.mark.parametrize(
    ("bad", "found"),
    [
        (False, line("held")),
        (False, line("below_claim")),
        (False, line("unavailable")),
        (True, line("failed")),
        (True, line("held", regression="speed 1.00x after 3.00x")),
    ],
)
def test_only_a_failure_or_a_regression_is_bad(found: runner.CheckLine, *, bad: bool) -> None:
    assert found.bad == bad
