"""`aitrade check-all`: words in, exit code and streams out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import typer
from typer.testing import CliRunner, Result

from aitrade_cli.checks import runner
from aitrade_cli.commands.check_all import check_all
from tests.lines import HELD, line

APP = typer.Typer()
APP.command()(check_all)


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[runner.CheckLine]:
    """What the rows will say; no process is started."""
    found = [HELD]

    def run_checks(*_: object, say: Any, **__: object) -> Iterator[runner.CheckLine]:
        for one in found:
            say(f"░ {one.id}")
            yield one

    monkeypatch.setattr(runner, "run_checks", run_checks)
    return found


def check(*words: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(APP, words, env=env or {})


def data(text: str) -> list[dict[str, Any]]:
    return [json.loads(one) for one in text.splitlines()]


def test_both_forms_say_the_same(lines: list[runner.CheckLine]) -> None:
    lines[:] = [HELD, line("below_claim", id="T1", reason="speed 2.10x of 3.10x")]
    shown, printed = check(), check("--json")
    rows = data(printed.stdout)
    assert (shown.exit_code, printed.exit_code) == (0, 0)
    assert [(row["kind"], row["command"]) for row in rows] == [("check", "check-all")] * 2
    assert [row["data"]["status"] for row in rows] == ["held", "below_claim"]
    assert shown.stdout.startswith("2 rows: 1 held, 1 below claim\n")
    assert "T1: speed 2.10x of 3.10x" in shown.stdout


def test_a_json_line_has_the_promised_fields(lines: list[runner.CheckLine]) -> None:
    assert lines == [HELD]
    (row,) = data(check("--json").stdout)
    promised = {"id", "status", "reason", "claim", "measured", "conditions", "regression"}
    assert promised <= row["data"].keys()
    assert row["data"]["claim"].keys() == {"speedup", "memory_saved"}
    assert row["data"]["measured"].keys() >= {"speedup", "memory_saved"}


def test_progress_never_touches_stdout(lines: list[runner.CheckLine]) -> None:
    assert lines == [HELD]
    done = check("--json")
    assert [row["kind"] for row in data(done.stderr)] == ["progress"]
    assert "░" not in done.stdout


@pytest.mark.parametrize(
    ("status", "code"), [("held", 0), ("below_claim", 0), ("unavailable", 0), ("failed", 1)]
)
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_only_failed_rows_exit_1(
    lines: list[runner.CheckLine], status: Any, code: int, form: list[str]
) -> None:
    lines[:] = [line(status, reason="why")]
    assert check(*form).exit_code == code


@pytest.mark.parametrize(("tolerance", "code"), [("10%", 1), ("0.2", 0)])
def test_a_regression_exits_1_beyond_the_tolerance(
    lines: list[runner.CheckLine], tmp_path: Path, tolerance: str, code: int
) -> None:
    (tmp_path / "b.ndjson").write_text(check("--json").stdout.replace("3.5", "4.0"))
    done = check("--baseline", str(tmp_path / "b.ndjson"), "--tolerance", tolerance)
    assert done.exit_code == code
    assert ("speed 3.50x after 4.00x" in done.stdout) == bool(code)
    assert lines == [HELD]


def test_junit_is_written_beside_the_report(lines: list[runner.CheckLine], tmp_path: Path) -> None:
    lines[:] = [line("failed", reason="broken")]
    (tmp_path / "j.xml").write_text("of an earlier run")
    done = check("--junit", str(tmp_path / "j.xml"))
    assert done.exit_code == 1
    assert "1 FAILED" in done.stdout
    suite = ElementTree.parse(tmp_path / "j.xml").getroot().find("testsuite")
    assert suite is not None
    assert suite.attrib["failures"] == "1"


def test_junit_on_stdout_sends_the_report_to_stderr(lines: list[runner.CheckLine]) -> None:
    assert lines == [HELD]
    done = check("--junit", "-")
    assert ElementTree.fromstring(done.stdout).tag == "testsuites"
    assert "1 row: 1 held" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "name"),
    [
        (["--only", "Z9"], 2, "UnknownRow"),
        (["--tolerance", "much"], 2, "BadShare"),
        (["--tolerance", "110%"], 2, "BadShare"),
        (["--baseline", "missing.ndjson"], 4, "BadBaseline"),
        (["--junit", "missing/j.xml"], 4, "CannotWrite"),
    ],
)
def test_what_cannot_work_is_said_before_any_row_runs(
    monkeypatch: pytest.MonkeyPatch, words: list[str], code: int, name: str
) -> None:
    monkeypatch.setattr(runner, "run_checks", lambda *_, **__: pytest.fail("a row was run"))
    failure = check(*words).exception
    assert (type(failure).__name__, getattr(failure, "exit_code", None)) == (name, code)


def test_a_row_really_runs_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_FIXTURES", "/nowhere/at/all")
    (row,) = data(check("--only", "M13", "--json").stdout)
    assert row["data"]["status"] == "unavailable"
    assert row["data"]["reason"].startswith("no bars and models in")
