"""The row S11 holds, and notices a loop that rounds otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from aitrade_cli.checks import rolling as checks
from aitrade_cli.checks.result import CheckResult


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checks.long_closes
    monkeypatch.setattr(checks, "long_closes", lambda rows: whole(rows // 100))
    monkeypatch.setattr(checks, "LEAST_SPEED", 0.0)  # no test fails by the clock


def broken(result: CheckResult) -> list[str]:
    return [bound.name for bound in result.bounds if not bound.passed]


def test_the_row_holds() -> None:
    result = checks.loops_are_compiled(quick=True)
    assert broken(result) == []
    assert [case.name for case in result.cases][-1] == "mean of 48, no copy"


def test_another_order_of_adding_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def loose(values: np.ndarray, length: int) -> np.ndarray:
        total = np.cumsum(np.concatenate([[0.0], values]))
        return (total[length:] - total[:-length]) / length

    monkeypatch.setattr(checks, "compiled_mean", loose)
    assert broken(checks.loops_are_compiled(quick=True)) == ["figures that are not NumPy's"]


def test_long_closes_are_as_long_as_asked_and_stay_prices() -> None:
    closes = checks.long_closes(1_000_000)
    assert len(closes) == 10_000
    assert np.isfinite(closes).all()
    assert (closes > 0).all()
