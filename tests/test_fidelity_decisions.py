"""Flips are counted, named and priced as a slow loop counts, names and prices them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.decisions import (
    Decisions,
    NothingToCompare,
    Stance,
    agreement_text,
    compare_decisions,
    decisions_gate,
    next_returns,
    why_void,
    wilson_interval,
)

POSITIONS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def slowly(before: list[float], after: list[float], prices: list[float]) -> dict[str, float]:
    """The definitions, one bar at a time."""
    found = dict.fromkeys(("side", "opened", "closed", "resized", "undecided", "bars"), 0)
    cost = stake = 0.0
    for t, (old, new) in enumerate(zip(before, after, strict=True)):
        if math.isnan(old):
            continue
        found["bars"] += 1
        if math.isnan(new):
            found["undecided"] += 1
        elif old == new:
            continue
        elif old == 0:
            found["opened"] += 1
        elif new == 0:
            found["closed"] += 1
        elif (old > 0) != (new > 0):
            found["side"] += 1
        else:
            found["resized"] += 1
        if t + 2 < len(prices):
            earned = prices[t + 2] / prices[t + 1] - 1
            held = 0.0 if math.isnan(new) else new
            cost += (old - held) * earned * 1e4
            stake += abs(old - held) * abs(earned) * 1e4
    return {**found, "cost": cost, "stake": stake}


@st.composite
def books(draw: st.DrawFn) -> tuple[list[float], list[float], list[float]]:
    bars = draw(st.integers(3, 40))
    held = st.sampled_from((*POSITIONS, math.nan))
    before = draw(st.lists(held, min_size=bars, max_size=bars))
    before[0] = 1.0
    after = draw(st.lists(held, min_size=bars, max_size=bars))
    prices = draw(st.lists(st.floats(1, 1000), min_size=bars, max_size=bars))
    return before, after, prices


@given(books())
def test_counts_and_costs_are_those_of_the_slow_loop(
    book: tuple[list[float], list[float], list[float]],
) -> None:
    found = compare_decisions(*(np.array(part) for part in book))
    slow = slowly(*book)
    kinds = (found.side_flips, found.opened, found.closed, found.resized, found.undecided)
    assert kinds == tuple(
        slow[kind] for kind in ("side", "opened", "closed", "resized", "undecided")
    )
    assert found.bars == slow["bars"]
    assert found.flips == sum(kinds)
    assert found.agreement == pytest.approx(1 - found.flips / found.bars)
    assert found.cost_bps_total == pytest.approx(slow["cost"], abs=1e-6)
    if found.stake_bps_per_flip is not None:
        assert found.stake_bps_per_flip * found.flips == pytest.approx(slow["stake"], abs=1e-6)


def compared(before: list[float], after: list[float]) -> Decisions:
    return compare_decisions(np.array(before), np.array(after), np.linspace(100, 120, len(before)))


@given(st.lists(st.sampled_from(POSITIONS), min_size=3, max_size=50))
def test_a_model_agrees_with_itself(positions: list[float]) -> None:
    found = compared(positions, positions)
    assert found.flips == 0
    assert found.agreement == found.agreement_high == 1.0
    assert found.cost_bps_total == 0.0
    assert found.cost_bps_per_flip is None


def test_planted_flips_are_found_exactly() -> None:
    generator = np.random.default_rng(4)
    before = generator.choice([-1.0, 0.0, 1.0], size=1000)
    after = before.copy()
    trades, rests = np.flatnonzero(before != 0), np.flatnonzero(before == 0)
    after[trades[:7]] *= -1
    after[trades[7:12]] = 0
    after[rests[:3]] = 1
    after[trades[12:14]] *= 0.5
    found = compare_decisions(before, after, np.full(1000, 100.0))
    assert (found.side_flips, found.closed, found.opened, found.resized) == (7, 5, 3, 2)
    assert found.agreement == pytest.approx(1 - 17 / 1000)


def test_a_flip_costs_what_the_next_open_to_open_return_was() -> None:
    """Long at the close of bar 0, filled at 100, left at 101: one per cent forgone."""
    prices = np.array([90.0, 100.0, 101.0, 50.0])
    before, after = np.array([1.0, 0.0, 0.0, 0.0]), np.zeros(4)
    found = compare_decisions(before, after, prices)
    assert found.cost_bps_total == pytest.approx(100.0)
    assert compare_decisions(after, before, prices).cost_bps_total == pytest.approx(-100.0)


def test_a_side_flip_costs_twice() -> None:
    prices = np.array([90.0, 100.0, 101.0, 50.0])
    before = np.array([1.0, 0.0, 0.0, 0.0])
    assert compare_decisions(before, -before, prices).cost_bps_total == pytest.approx(200.0)


def test_the_last_two_bars_have_no_return_yet() -> None:
    assert next_returns(np.array([1.0, 2.0, 3.0, 6.0])).tolist() == pytest.approx(
        [0.5, 1.0, 0.0, 0.0]
    )


def test_flips_stand_in_the_tenth_where_the_original_was_that_sure() -> None:
    margin = np.arange(100.0)
    before = np.where(np.arange(100) % 2, 1.0, -1.0)
    after = before.copy()
    after[[0, 3, 9, 55]] *= -1
    found = compare_decisions(before, after, np.full(100, 5.0), margin)
    assert found.flips_by_margin == (3, 0, 0, 0, 0, 1, 0, 0, 0, 0)
    assert found.near_boundary_share == 0.75


def test_margins_count_by_rank_not_by_row() -> None:
    margin = np.arange(100.0)[::-1].copy()
    before = np.where(np.arange(100) % 2, 1.0, -1.0)
    after = before.copy()
    after[0] *= -1
    found = compare_decisions(before, after, np.full(100, 5.0), margin)
    assert found.flips_by_margin is not None
    assert found.flips_by_margin[9] == 1


@given(st.integers(1, 5000), st.floats(0, 1))
def test_the_interval_of_agreement_is_scipys(trials: int, share: float) -> None:
    successes = round(share * trials)
    low, high = wilson_interval(successes, trials)
    theirs = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert low == pytest.approx(theirs.low, abs=1e-9)
    assert high == pytest.approx(theirs.high, abs=1e-9)
    assert low <= successes / trials <= high


def test_agreement_by_chance_is_that_of_independent_models() -> None:
    generator = np.random.default_rng(0)
    before = generator.choice([-1.0, 0.0, 1.0], p=[0.2, 0.5, 0.3], size=200_000)
    after = generator.choice([-1.0, 0.0, 1.0], p=[0.6, 0.1, 0.3], size=200_000)
    found = compare_decisions(before, after, np.full(200_000, 5.0))
    assert found.agreement_by_chance == pytest.approx(0.2 * 0.6 + 0.5 * 0.1 + 0.3 * 0.3, abs=0.01)
    assert found.agreement == pytest.approx(found.agreement_by_chance, abs=0.01)


@pytest.mark.parametrize(
    ("stance", "word"),
    [
        (Stance(0.0, 1.0, 0.0), "never trades"),
        (Stance(0.09, 0.83, 0.08), "hardly trades"),
        (Stance(0.95, 0.05, 0.0), "long on 95.0 %"),
        (Stance(0.0, 0.0, 1.0), "short on 100.0 %"),
    ],
)
def test_agreement_with_a_model_of_one_mind_is_void(stance: Stance, word: str) -> None:
    reason = why_void(stance)
    assert reason is not None
    assert word in reason


@pytest.mark.parametrize("stance", [Stance(0.4, 0.2, 0.4), Stance(0.5, 0.5, 0.0)])
def test_agreement_with_a_model_that_trades_is_not_void(stance: Stance) -> None:
    assert why_void(stance) is None


def test_an_always_flat_model_is_void_and_not_held() -> None:
    gate = decisions_gate(compared([0.0] * 50, [0.0] * 50), Budget(max_flips=0.5))
    assert gate.status == "void"
    assert gate.reason == "the model never trades"
    assert gate.fails  # a budget was set, so an answer is owed


def test_the_flip_budgets_hold_and_miss() -> None:
    before = [1.0, -1.0] * 50
    after = [*before[:98], 0.0, 1.0]
    found = compared(before, after)
    assert decisions_gate(found, Budget()).status == "informed"
    assert decisions_gate(found, Budget(max_flips=0.02)).status == "held"
    assert decisions_gate(found, Budget(max_flips=0.019)).status == "missed"
    assert decisions_gate(found, Budget(max_side_flips=0.01)).status == "held"
    assert decisions_gate(found, Budget(max_flips=0.5, max_side_flips=0.0)).status == "missed"


def test_an_output_without_a_number_is_no_agreement() -> None:
    found = compared([0.0, 1.0, -1.0, 0.0], [math.nan, 1.0, -1.0, 0.0])
    assert found.undecided == found.flips == 1


def test_bars_the_original_could_not_decide_are_not_compared() -> None:
    assert compared([math.nan, 1.0, -1.0, 0.0], [1.0, 1.0, -1.0, 0.0]).bars == 3
    with pytest.raises(NothingToCompare):
        compared([math.nan] * 4, [0.0] * 4)


@pytest.mark.parametrize(
    ("agreement", "text"),
    [(1.0, "100.0 %"), (0.99999, "99.9 %"), (0.997, "99.7 %"), (0.29, "29.0 %"), (0.0, "0.0 %")],
)
def test_agreement_is_never_rounded_up_to_all(agreement: float, text: str) -> None:
    assert agreement_text(agreement) == text
