"""Prioritised draws against the formula, a model in plain Python, and every kind of turnover."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.sampling.importance import Annealing, importance_weights
from aitrade_cli.replay.sampling.priorities import Proportional
from aitrade_cli.replay.sampling.tree import UnusableWeight
from tests.replay_rows import FakeRows, bound, goodness_of_fit, ids

MIXED = np.array([1e-12, 1e12, 0.0, 1.0, 3e-7, 5e8, 1e-12, 2.0])


def by_formula(priorities: np.ndarray, alpha: float) -> np.ndarray:
    """Schaul et al., equation 1."""
    powers = np.where(priorities > 0, priorities.astype(np.float64) ** alpha, 0.0)
    return powers / powers.sum()


@pytest.mark.parametrize("alpha", [0.3, 0.6, 1.0])
def test_probabilities_are_those_of_the_formula(alpha: float) -> None:
    sampler = Proportional(alpha, epsilon=0.0)
    bound(sampler, 8, 8)
    sampler.update(np.arange(8), MIXED)
    got = sampler.probabilities(np.arange(8))
    # float32 holds seven digits of a priority
    assert got == pytest.approx(by_formula(MIXED, alpha), rel=1.2e-7, abs=0.0)


def test_a_million_draws_follow_the_formula() -> None:
    rng = np.random.default_rng(1)
    sampler = Proportional(0.6, epsilon=0.0)
    bound(sampler, 500, 500)
    priorities = rng.exponential(size=500)
    priorities[::9] = 0.0
    sampler.update(np.arange(500), priorities)
    counts = np.zeros(500, dtype=np.int64)
    for _ in range(4000):
        counts += np.bincount(sampler.draw(rng, 250)[0], minlength=500)
    assert counts.sum() == 1_000_000
    # Strata vary less than free draws would, so only too bad a fit is possible.
    assert goodness_of_fit(counts, by_formula(priorities, 0.6)) > 0.001


def test_importance_weights_are_those_of_the_formula() -> None:
    sampler = Proportional(0.7, Annealing(0.5, 0.5), epsilon=0.0)
    bound(sampler, 8, 8)
    priorities = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 800.0])
    sampler.update(np.arange(8), priorities)
    indices, weights = sampler.draw(np.random.default_rng(0), 64)
    slow = (8 * by_formula(priorities, 0.7)[indices]) ** -0.5
    assert weights.dtype == np.float32
    assert weights == pytest.approx(slow / slow.max(), rel=1e-6)


@given(st.lists(st.floats(1e-38, 1e38), min_size=1, max_size=20), st.floats(0, 1))
def test_importance_weights_never_overflow(chances: list[float], beta: float) -> None:
    weights = importance_weights(np.array(chances), beta)
    assert np.isfinite(weights).all()
    assert weights.max() == 1.0
    assert (weights >= 0).all()


def test_beta_rises_in_a_straight_line_and_stays() -> None:
    annealing = Annealing(0.4, 1.0, 10)
    assert [annealing.at(draw) for draw in (0, 5, 10, 99)] == pytest.approx([0.4, 0.7, 1.0, 1.0])
    sampler = Proportional(1.0, Annealing(0.0, 1.0, 1), epsilon=0.0)
    bound(sampler, 2, 2)
    sampler.update(ids(0, 1), np.array([1.0, 4.0]))
    rng = np.random.default_rng(0)
    assert set(sampler.draw(rng, 10)[1].tolist()) == {1.0}
    assert set(sampler.draw(rng, 10)[1].tolist()) == {0.25, 1.0}


def test_new_rows_get_the_largest_priority_seen() -> None:
    sampler = Proportional(1.0, epsilon=0.0)
    rows = bound(sampler, 8, 2)
    assert sampler.probabilities(ids(0, 1)).tolist() == [0.5, 0.5]
    sampler.update(ids(0, 1), np.array([10.0, 0.5]))
    sampler.update(ids(0), np.array([2.0]))
    rows.add(sampler, 1)
    expected = np.array([2.0, 0.5, 10.0]) / 12.5
    assert sampler.probabilities(ids(0, 1, 2)) == pytest.approx(expected)


def test_rows_that_went_are_not_drawn_and_late_updates_are_counted() -> None:
    sampler = Proportional(epsilon=0.0)
    rows = bound(sampler, 10, 10)
    rng = np.random.default_rng(0)
    early, _ = sampler.draw(rng, 10)
    rows.add(sampler, 4)  # rows 0 to 3 lay in the slots of 10 to 13
    before = sampler.probabilities(np.arange(14)).tolist()
    sampler.update(ids(0, 1, 2, 3), np.full(4, 1e9))
    assert sampler.stale == 4
    assert sampler.probabilities(np.arange(14)).tolist() == before
    assert before[:4] == [0.0] * 4
    sampler.update(early, np.full(10, 5.0))
    assert sampler.stale == 8
    drawn = np.concatenate([sampler.draw(rng, 10)[0] for _ in range(50)])
    assert set(drawn.tolist()) == set(range(4, 14))


def test_rows_that_went_before_their_slot_was_used_again_are_not_drawn() -> None:
    sampler = Proportional()
    rows = bound(sampler, 10, 10)
    rows.dropped = 6
    drawn = sampler.draw(np.random.default_rng(0), 100)[0]
    assert set(drawn.tolist()) == {6, 7, 8, 9}
    rows.add(sampler, 2)
    drawn = sampler.draw(np.random.default_rng(0), 100)[0]
    assert set(drawn.tolist()) == {6, 7, 8, 9, 10, 11}


def test_more_rows_than_the_ring_holds_may_come_between_two_draws() -> None:
    sampler = Proportional()
    rows = bound(sampler, 10, 3)
    rows.add(sampler, 37)
    drawn = sampler.draw(np.random.default_rng(0), 100)[0]
    assert set(drawn.tolist()) == set(range(30, 40))


def test_the_last_state_of_an_episode_is_not_drawn() -> None:
    sampler = Proportional()
    rows = FakeRows(10)
    sampler.bind(rows)
    rows.unusable = {4, 9}
    rows.add(sampler, 10)
    drawn = sampler.draw(np.random.default_rng(0), 100)[0]
    assert set(drawn.tolist()) == {0, 1, 2, 3, 5, 6, 7, 8}


def test_a_row_without_a_next_state_comes_once_it_has_one() -> None:
    sampler = Proportional()
    rows = FakeRows(40_000)
    sampler.bind(rows)
    rows.unusable = {4}
    rows.add(sampler, 5)
    rng = np.random.default_rng(0)
    assert set(sampler.draw(rng, 100)[0].tolist()) == {0, 1, 2, 3}
    rows.unusable = {5}
    rows.add(sampler, 1)
    assert set(sampler.draw(rng, 100)[0].tolist()) == {0, 1, 2, 3, 4}
    rows.add(sampler, 20_000)
    rows.unusable = set()
    chances = sampler.probabilities(ids(4, 5))
    assert chances[1] == chances[0] > 0.0  # however long it waited


def test_zero_is_never_drawn_again_without_epsilon_and_rarely_with() -> None:
    rng = np.random.default_rng(0)
    without, with_epsilon = Proportional(1.0, epsilon=0.0), Proportional(1.0, epsilon=0.1)
    for sampler in (without, with_epsilon):
        bound(sampler, 2, 2)
        sampler.update(ids(0, 1), np.array([0.0, 0.9]))
    assert without.probabilities(ids(0, 1)).tolist() == [0.0, 1.0]
    assert set(without.draw(rng, 50)[0].tolist()) == {1}
    assert with_epsilon.probabilities(ids(0)) == pytest.approx(0.1 / 1.1)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, 1e39])
def test_a_bad_priority_changes_nothing(bad: float) -> None:
    sampler = Proportional(1.0)
    bound(sampler, 4, 4)
    sampler.update(ids(0, 1), np.array([3.0, 2.0]))
    before = sampler.probabilities(np.arange(4)).tolist()
    with pytest.raises(UnusableWeight, match="at position 1") as told:
        sampler.update(ids(2, 1), np.array([3.0, bad]))
    assert "abs(td_error)" in told.value.hint
    assert sampler.probabilities(np.arange(4)).tolist() == before
    assert sampler.largest == pytest.approx(3.0)


@given(st.data())
def test_any_history_ends_where_a_plain_dictionary_does(data: st.DataObject) -> None:
    capacity = data.draw(st.integers(1, 40))
    sampler = Proportional(1.0, epsilon=0.0)
    rows = FakeRows(capacity)
    sampler.bind(rows)
    model: dict[int, float] = {}
    largest = 1.0
    for _ in range(data.draw(st.integers(1, 12))):
        added = data.draw(st.integers(0, 2 * capacity))
        rows.add(sampler, added)
        model |= dict.fromkeys(range(rows.total - added, rows.total), largest)
        model = {index: priority for index, priority in model.items() if index >= rows.first}
        if rows.total and data.draw(st.booleans()):
            some = data.draw(st.lists(st.integers(0, rows.total - 1), max_size=10))
            values = [data.draw(st.sampled_from([0.5, 1.0, 2.0, 64.0])) for _ in some]
            sampler.update(ids(*some), np.array(values))
            for index, value in zip(some, values, strict=True):
                if index in model:
                    model[index], largest = value, max(largest, value)
    if model:
        live = np.array(sorted(model))
        expected = np.array([model[index] for index in live])
        assert sampler.probabilities(live) == pytest.approx(expected / expected.sum(), rel=1e-6)


def test_a_store_opened_again_goes_on_as_if_it_had_never_been_closed() -> None:
    kept, again = Proportional(), Proportional()
    rows = bound(kept, 100, 130)
    rng = np.random.default_rng(5)
    for _ in range(20):
        indices, _ = kept.draw(rng, 16)
        kept.update(indices, rng.random(16))
    state = {name: array.copy() for name, array in kept.state().items()}
    again.bind(rows)
    again.restore(state)
    for sampler in (kept, again):
        sampler.added(130, 0)
    one, other = kept.draw(np.random.default_rng(1), 50), again.draw(np.random.default_rng(1), 50)
    assert one[0].tolist() == other[0].tolist()
    assert one[1].tolist() == other[1].tolist()
    assert again.largest == kept.largest


def test_rows_that_came_after_the_state_was_kept_are_new_and_those_gone_are_gone() -> None:
    kept, again = Proportional(1.0, epsilon=0.0), Proportional(1.0, epsilon=0.0)
    rows = bound(kept, 10, 10)
    kept.update(np.arange(10), np.arange(10.0) + 1)
    state = kept.state()
    rows.total = 13
    again.bind(rows)
    again.restore(state)
    again.added(10, 3)
    expected = np.array([0, 0, 0, *range(4, 11), 10, 10, 10], dtype=np.float64)
    assert again.probabilities(np.arange(13)) == pytest.approx(expected / expected.sum())


def test_a_state_is_taken_up_under_another_alpha_and_into_a_smaller_ring() -> None:
    kept = Proportional(1.0, epsilon=0.0)
    bound(kept, 10, 10)
    kept.update(np.arange(10), np.arange(10.0) + 1)
    rows = FakeRows(4)
    rows.total = 10
    again = Proportional(0.5, epsilon=0.0)
    again.bind(rows)
    again.restore(kept.state())
    expected = np.sqrt([7.0, 8.0, 9.0, 10.0])
    got = again.probabilities(np.arange(6, 10))
    assert got == pytest.approx(expected / expected.sum(), rel=1e-6)


@pytest.mark.parametrize("alpha", [-0.1, 2.1])
def test_settings_out_of_range_are_refused(alpha: float) -> None:
    with pytest.raises(BadInput, match="alpha lies in"):
        Proportional(alpha)
    with pytest.raises(BadInput, match="epsilon lies in"):
        Proportional(epsilon=1.0)
    with pytest.raises(BadInput, match="beta lies in"):
        Annealing(alpha)
    with pytest.raises(BadInput, match="at least one draw"):
        Annealing(draws=0)


def test_a_sampler_without_a_store_says_so() -> None:
    with pytest.raises(BadInput, match="not given to a store"):
        Proportional().draw(np.random.default_rng(0), 1)
