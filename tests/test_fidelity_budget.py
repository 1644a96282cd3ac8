"""Budgets hold for losing, flat and winning baselines alike, and mean what was typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import BadBudget, Budget, Limit, parse_budget
from aitrade_cli.fidelity.gate import Gate, gate_with_limits


@pytest.mark.parametrize(
    ("text", "share"), [("1%", 0.01), ("0.01", 0.01), (" 2.5 % ", 0.025), ("0", 0.0), ("100%", 1.0)]
)
def test_a_share_is_read_as_it_is_typed(text: str, share: float) -> None:
    assert parse_budget(max_flips=text).max_flips == pytest.approx(share)


def test_a_bare_one_is_refused_because_it_could_mean_everything() -> None:
    with pytest.raises(BadBudget, match=r"`--max-flips 1`") as caught:
        parse_budget(max_flips="1")
    assert "1%" in caught.value.hint


@pytest.mark.parametrize("text", ["", "%", "one", "-1%", "nan", "inf%", "101%", "1e9"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(BadBudget):
        parse_budget(max_flips=text)


@pytest.mark.parametrize("text", ["-0.1", "nan", "inf", "1%"])
def test_a_sharpe_budget_is_a_plain_number(text: str) -> None:
    assert parse_budget(max_sharpe_drop="1.5").max_sharpe_drop == 1.5
    with pytest.raises(BadBudget):
        parse_budget(max_sharpe_drop=text)


def test_a_bad_budget_is_a_usage_error() -> None:
    assert issubclass(BadBudget, Usage)
    with pytest.raises(BadBudget, match="--max-side-flips"):
        Budget(max_side_flips=1.5)


# INC's rule is `trial >= baseline * (1 - tolerance)`, NNCF's `|1 - trial / baseline|`.
@pytest.mark.parametrize("sharpe", [-1.0, 0.0, 1e-9, 1.0])
def test_an_identical_model_holds_where_relative_budgets_fail(sharpe: float) -> None:
    assert Limit("--max-sharpe-drop", "Sharpe drop", 0.0, sharpe - sharpe).held


def test_the_relative_rule_really_fails_an_identical_losing_model() -> None:
    baseline, tolerance = -1.0, 0.01
    assert not baseline >= baseline * (1 - tolerance)


@given(
    before=st.floats(-5, 5),
    drop=st.floats(0, 2),
    allowed=st.floats(0, 2),
)
def test_only_the_difference_counts(before: float, drop: float, allowed: float) -> None:
    """Whether the baseline wins or loses changes nothing; rounding of 1e-12 is forgiven."""
    after = before - drop
    held = Limit("--max-sharpe-drop", "Sharpe drop", allowed, before - after).held
    if drop < allowed - 1e-9:
        assert held
    if drop > allowed + 1e-9:
        assert not held


def test_a_rise_holds_every_budget() -> None:
    assert Limit("--max-sharpe-drop", "Sharpe drop", 0.0, -0.4).held


def test_what_is_not_defined_holds_no_budget() -> None:
    limit = Limit("--max-sharpe-drop", "Sharpe drop", 0.1, None)
    assert not limit.held
    assert limit.text == "Sharpe drop not defined, allowed 0.100"


def test_without_limits_a_gate_informs_and_never_fails() -> None:
    gate = gate_with_limits("decisions", "52 % agree", [])
    assert gate.status == "informed"
    assert not gate.fails


def test_one_missed_limit_fails_the_gate_and_is_told_first() -> None:
    held = Limit("--max-flips", "flips", 0.5, 0.03, "share")
    missed = Limit("--max-side-flips", "side flips", 0.01, 0.03, "share")
    gate = gate_with_limits("decisions", "97 % agree", [held, missed])
    assert gate == Gate(
        "decisions",
        "missed",
        "side flips 3.00 %, allowed 1.00 %",
        required=True,
        detail="97 % agree",
    )
    assert gate.fails


@pytest.mark.parametrize("status", ["not_run", "void"])
def test_an_answer_that_is_owed_and_not_given_fails(status: str) -> None:
    assert Gate("decisions", status, "no sample", required=True).fails  # type: ignore[arg-type]
    assert not Gate("decisions", status, "no sample").fails  # type: ignore[arg-type]
