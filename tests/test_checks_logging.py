"""The row S6 holds, and notices a record that vanished."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.checks import logging as checks
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.system.logging import LogWriter


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "RECORDS", 50)
    monkeypatch.setattr(checks, "LEAST_SPEED", 0.0)  # no test fails by the clock
    monkeypatch.setattr(checks, "LEAST_STANDARD", 0.0)


def broken(result: CheckResult) -> set[str]:
    return {bound.name for bound in result.bounds if not bound.passed}


def test_the_row_holds() -> None:
    result = checks.calls_do_not_wait(quick=True)
    assert broken(result) == set()
    assert [case.name for case in result.cases] == ["queued", "standard", "direct"]
    assert "the same way twice" in result.conditions


def test_a_queue_that_drops_in_silence_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LogWriter.put

    def forgetful(self: LogWriter, record: object) -> None:
        if getattr(record, "fields", {}).get("step", 0) % 10:
            whole(self, record)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(LogWriter, "put", forgetful)
    names = broken(checks.calls_do_not_wait(quick=True))
    assert names == {"records missing in the file", "overflow not told"}


def test_a_call_that_costs_more_than_the_standard_librarys_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "LEAST_STANDARD", 1e9)  # times; nothing is as fast as that
    names = broken(checks.calls_do_not_wait(quick=True))
    assert names == {"speed of the standard library's line, upper end"}


def test_an_overflow_is_told_in_the_file(tmp_path: Path) -> None:
    assert checks.dropped_and_told(tmp_path / "log") == 0
    assert "records dropped" in (tmp_path / "log").read_text()
