"""The row S10 holds, and notices a worker that computes something else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aitrade_cli.checks import parallel as checks
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.market.parallel_features import FeatureRun


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checks.long_bars
    monkeypatch.setattr(checks, "long_bars", lambda rows: whole(rows // 100))
    monkeypatch.setattr(checks, "LEAST_CHOSEN", 0.0)  # no test fails by the clock


def broken(result: CheckResult) -> list[str]:
    return [bound.name for bound in result.bounds if not bound.passed]


def test_the_row_holds_and_says_what_was_chosen() -> None:
    result = checks.features_are_spread(quick=True)
    assert broken(result) == []
    assert "the probe chose here" in result.conditions


def test_another_number_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = checks.feature_matrices

    def wrong(*given: Any, probe: bool = True, **options: Any) -> FeatureRun:
        run = whole(*given, **{**options, "workers": 1})
        if probe:
            return run
        return replace(run, matrices=tuple(np.nan_to_num(one) for one in run.matrices))

    monkeypatch.setattr(checks, "feature_matrices", wrong)
    assert broken(checks.features_are_spread(quick=True)) == [
        "values that one process has otherwise"
    ]
