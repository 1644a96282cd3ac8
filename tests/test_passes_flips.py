"""Flips are counted exactly, and estimated as a double loop over margins and errors would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Decision
from aitrade_cli.passes.flips import Flips, change_of_margin, expected_flips
from tests.fidelity_market import Model

ARGMAX = Decision()
THRESHOLD = Decision("threshold", threshold=0.25)
# Eighths are exact in float32, so the slow loop may compare with == and <.
eighths = st.integers(-80, 80).map(lambda number: number / 8)


def pairs(outputs: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    def pair(rows: int) -> st.SearchStrategy[tuple[np.ndarray, np.ndarray]]:
        one = nps.arrays(np.float32, (rows, outputs), elements=eighths)
        return st.tuples(one, one)

    return st.integers(1, 12).flatmap(pair)


def margin_by_hand(before: list[float], row: list[float]) -> float:
    """What the best of ``before`` has over its second best, in ``row``."""
    order = sorted(range(len(before)), key=lambda place: before[place])
    return row[order[-1]] - row[order[-2]]


def expected_by_loop(margins: list[float], changes: list[float]) -> float:
    hits = 0
    for margin in margins:
        for change in changes:
            hits += margin + change < 0
    return hits / len(margins) ** 2


def asked(answers: np.ndarray) -> Model:
    """A model that answers window i, whose numbers are all i, with row i."""
    return Model(lambda window: answers[window[:, 0, 0].astype(int)])


def flips_of(before: np.ndarray, after: np.ndarray, decision: Decision = ARGMAX) -> float:
    numbered = np.arange(len(before), dtype=np.float32)[:, None, None]
    windows = np.ascontiguousarray(np.broadcast_to(numbered, (len(before), 3, 2)))
    return Flips.of(asked(before), windows, decision).share(asked(after))


@given(pairs(3))
def test_the_estimate_is_that_of_a_double_loop(pair: tuple[np.ndarray, np.ndarray]) -> None:
    # Equal outputs leave it open which is second best; both orders are right then.
    before = pair[0] + np.arange(3, dtype=np.float32) / 64
    after = pair[1]
    rows = list(zip(before.tolist(), after.tolist(), strict=True))
    margins = [margin_by_hand(old, old) for old, _ in rows]
    changes = [margin_by_hand(old, new) - margin_by_hand(old, old) for old, new in rows]
    assert expected_flips(ARGMAX, before, after) == pytest.approx(
        expected_by_loop(margins, changes), abs=1e-12
    )


@given(pairs(1), st.sampled_from([0.0, 0.25, 4.0]))
def test_the_estimate_of_a_threshold_is_too(
    pair: tuple[np.ndarray, np.ndarray], threshold: float
) -> None:
    before, after = pair
    margins = [abs(abs(value) - threshold) for value in before[:, 0].tolist()]
    changes = [
        -abs(new - old)
        for old, new in zip(before[:, 0].tolist(), after[:, 0].tolist(), strict=True)
    ]
    rule = Decision("threshold", threshold=threshold)
    assert expected_flips(rule, before, after) == pytest.approx(
        expected_by_loop(margins, changes), abs=1e-12
    )


@given(pairs(3), st.integers(0, 100))
def test_neither_the_order_of_rows_nor_a_common_shift_matters(
    pair: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    before, after = pair[0] + np.arange(3, dtype=np.float32) / 64, pair[1]
    order = np.random.default_rng(seed).permutation(len(before))
    shifted = after + np.float32(2.0)
    wanted = flips_of(before, after)
    assert flips_of(before[order], after[order]) == pytest.approx(wanted)
    assert flips_of(before, shifted) == pytest.approx(wanted)


@given(pairs(3))
def test_a_model_that_is_the_same_never_flips(pair: tuple[np.ndarray, np.ndarray]) -> None:
    before, _ = pair
    assert flips_of(before, before) == 0.0


@given(pairs(3))
def test_the_share_is_never_below_what_was_counted(pair: tuple[np.ndarray, np.ndarray]) -> None:
    before, after = pair
    counted = (before.argmax(axis=1) != after.argmax(axis=1)).mean()
    assert counted <= flips_of(before, after) <= 1.0


@pytest.mark.parametrize("planted", [0, 1, 7, 40])
def test_planted_flips_are_counted_exactly(planted: int) -> None:
    # The rest is so sure of itself that an error of one row could flip it only elsewhere.
    before = np.tile(np.array([[0.0, 0.0, 9.0]], dtype=np.float32), (200, 1))
    after = before.copy()
    after[:planted] = (10.0, 0.0, 9.0)
    assert flips_of(before, after) == pytest.approx(planted / 200)


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_not_finite_is_a_flip(poison: float) -> None:
    before = np.tile(np.array([[9.0, 0.0, 0.0]], dtype=np.float32), (20, 1))
    after = before.copy()
    after[:5, 1] = poison
    assert flips_of(before, after) == pytest.approx(0.25)
    assert flips_of(before, np.full_like(before, poison)) == 1.0


def test_an_infinite_output_of_a_threshold_is_a_flip_too() -> None:
    before = np.full((4, 1), 1.0, dtype=np.float32)
    after = before.copy()
    after[0] = np.inf  # still long, but no number to trade on
    assert flips_of(before, after, THRESHOLD) == pytest.approx(0.25)


def test_near_misses_are_told_where_the_count_is_zero() -> None:
    before = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 9.0]], dtype=np.float32)
    after = np.array([[0.0, 0.0, 0.5], [0.0, 0.0, 8.0]], dtype=np.float32)
    # The error of 1 met the margin of 9; it could as well have met the one of 0.5.
    assert flips_of(before, after) == pytest.approx(0.25)


def test_without_a_row_nothing_is_expected() -> None:
    nothing = np.zeros((0, 3), dtype=np.float32)
    assert expected_flips(ARGMAX, nothing, nothing) == 0.0


@given(pairs(1))
def test_a_threshold_may_be_crossed_from_either_side(pair: tuple[np.ndarray, np.ndarray]) -> None:
    assert (change_of_margin(THRESHOLD, *pair) <= 0).all()


def test_outputs_that_do_not_fit_the_rule_are_named() -> None:
    two = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(BadInput, match="wants 3 outputs, the model gives 2"):
        flips_of(two, two)
