"""The row S5 holds, and notices seconds that were not counted."""

from __future__ import annotations

import pytest

from aitrade_cli.checks import live as checks
from aitrade_cli.checks.result import CheckResult


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SAMPLER_MOST", 1.0)  # no test fails by the clock
    monkeypatch.setattr(checks, "SCREEN_MOST", 1.0)
    monkeypatch.setattr(checks, "MOST_OFF", 0.5)
    monkeypatch.setattr(checks, "BURN_SECONDS", {True: 0.2})


def broken(result: CheckResult) -> list[str]:
    return [bound.name for bound in result.bounds if not bound.passed]


def test_the_row_holds() -> None:
    assert broken(checks.watching_is_cheap(quick=True)) == []


def test_a_wrong_total_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "total_of", lambda *_: 0.0)
    assert broken(checks.watching_is_cheap(quick=True)) == ["CPU seconds off"]
