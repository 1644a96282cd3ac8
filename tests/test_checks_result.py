"""What follows from the numbers of a check."""

from __future__ import annotations

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.catalog import Claim
from aitrade_cli.checks.result import Bound, CheckResult, Measured, status_of
from aitrade_cli.checks.runner import result_from_data
from aitrade_cli.report.ndjson import to_data

NUMBERS = st.floats(-1e9, 1e9)


def result(measured: Measured, *bounds: Bound) -> CheckResult:
    return CheckResult(measured, bounds, "here")


def bound(
    measured: float, limit: float, sense: Literal["at_least", "at_most"] = "at_least"
) -> Bound:
    return Bound("agreement", measured, limit, sense, "share")


@given(NUMBERS, NUMBERS)
def test_a_bound_passes_on_its_own_side_and_on_the_limit(measured: float, limit: float) -> None:
    assert bound(measured, limit).passed == (measured >= limit)
    assert bound(measured, limit, "at_most").passed == (measured <= limit)
    assert bound(limit, limit).passed
    assert bound(limit, limit, "at_most").passed


def test_a_broken_bound_fails_whatever_the_gain() -> None:
    found = result(Measured(100.0, None, None, 0.99), bound(0.98, 0.99))
    status, reason = status_of(found, Claim(3.0, 0.75))
    assert status == "failed"
    assert reason == "agreement is 0.98 share, wanted at least 0.99"


def test_every_broken_bound_is_named() -> None:
    _, reason = status_of(result(Measured(), bound(0.1, 1.0), bound(2.0, 1.0, "at_most")), Claim())
    assert reason is not None
    assert reason.count("agreement is") == 2


@pytest.mark.parametrize(
    ("measured", "claim", "status", "reason"),
    [
        (Measured(3.1, None, None, 0.75), Claim(3.1, 0.75), "held", None),
        (Measured(3.0, None, None, 0.75), Claim(3.1, 0.75), "below_claim", "speed 3.00x of 3.10x"),
        (Measured(9.0, None, None, 0.7), Claim(3.1, 0.75), "below_claim", "memory 70.0% of 75%"),
        (Measured(), Claim(3.1, None), "below_claim", "speed was not measured, claimed 3.10x"),
        (Measured(), Claim(), "held", None),
        (Measured(0.1, None, None, -1.0), Claim(), "held", None),
    ],
)
def test_the_claim_is_met_or_the_shortfall_is_said(
    measured: Measured, claim: Claim, status: str, reason: str | None
) -> None:
    assert status_of(result(measured), claim) == (status, reason)


def test_whether_a_bound_passed_is_in_the_data() -> None:
    assert to_data(bound(1.0, 0.5))["passed"] is True


def test_a_missed_goal_is_below_claim_and_never_held() -> None:
    met = Bound("time", 1.4, 1.45, "at_most", "times")
    missed = Bound("time", 1.6, 1.45, "at_most", "times")
    assert status_of(CheckResult(Measured(), (), "", (), (met,)), Claim())[0] == "held"
    status, reason = status_of(CheckResult(Measured(), (), "", (), (missed,)), Claim())
    assert status == "below_claim"
    assert reason == "time is 1.6 times, wanted at most 1.45"


def test_a_broken_bound_fails_whatever_the_goals_say() -> None:
    broken = Bound("time", 3.0, 2.0, "at_most", "times")
    met = Bound("time", 3.0, 4.0, "at_most", "times")
    assert status_of(CheckResult(Measured(), (broken,), "", (), (met,)), Claim())[0] == "failed"


def test_goals_come_through_the_process_that_measured_them() -> None:
    missed = Bound("time", 1.6, 1.45, "at_most", "times")
    sent = CheckResult(Measured(), (missed,), "here", (), (missed,))
    data = to_data(sent)
    assert isinstance(data, dict)
    assert result_from_data(data) == sent
