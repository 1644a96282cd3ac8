"""Rank-based draws against ranks that were sorted the slow way."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.sampling.importance import Annealing
from aitrade_cli.replay.sampling.ranked import RankBased
from aitrade_cli.replay.sampling.tree import UnusableWeight
from tests.replay_rows import FakeRows, bound, goodness_of_fit, ids


def by_formula(priorities: dict[int, float], alpha: float) -> dict[int, float]:
    """Schaul et al., section 3.3: largest priority first, of equals the newer one."""
    order = sorted(priorities, key=lambda index: (-priorities[index], -index))
    powers = {index: (rank + 1.0) ** -alpha for rank, index in enumerate(order)}
    return {index: power / sum(powers.values()) for index, power in powers.items()}


def told(sampler: RankBased) -> dict[int, float]:
    indices, chances = sampler.probabilities()
    return dict(zip(indices.tolist(), chances.tolist(), strict=True))


@given(st.lists(st.sampled_from([0.0, 1e-12, 0.5, 1.0, 3.0, 1e12]), min_size=1, max_size=60))
def test_probabilities_are_those_of_the_ranks(values: list[float]) -> None:
    sampler = RankBased(0.7, resort_share=0.0)
    bound(sampler, 60, len(values))
    sampler.update(np.arange(len(values)), np.array(values))
    assert told(sampler) == pytest.approx(by_formula(dict(enumerate(values)), 0.7), rel=1e-6)


def test_a_million_draws_follow_the_ranks() -> None:
    rng = np.random.default_rng(2)
    sampler = RankBased(0.7)
    bound(sampler, 400, 400)
    priorities = rng.random(400)
    sampler.update(np.arange(400), priorities)
    counts = np.zeros(400, dtype=np.int64)
    for _ in range(4000):
        counts += np.bincount(sampler.draw(rng, 250)[0], minlength=400)
    formula = by_formula(dict(enumerate(priorities.astype(np.float32).tolist())), 0.7)
    assert goodness_of_fit(counts, np.array([formula[index] for index in range(400)])) > 0.001


@given(st.data())
def test_any_history_ends_where_a_plain_dictionary_does(data: st.DataObject) -> None:
    capacity = data.draw(st.integers(1, 30))
    sampler = RankBased(1.0, resort_share=0.0)
    rows = FakeRows(capacity)
    sampler.bind(rows)
    model: dict[int, float] = {}
    largest = 1.0
    for _ in range(data.draw(st.integers(1, 8))):
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
    assert told(sampler) == pytest.approx(by_formula(model, 1.0), rel=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.05, 1.0])
def test_only_live_rows_that_can_be_drawn_are(share: float) -> None:
    sampler = RankBased(resort_share=share)
    rows = FakeRows(50)
    sampler.bind(rows)
    rng = np.random.default_rng(0)
    for _ in range(30):
        rows.add(sampler, int(rng.integers(1, 9)))
        indices, weights = sampler.draw(rng, 32)
        assert ((indices >= rows.first) & (indices < rows.total)).all()
        assert weights.max() == 1.0
        sampler.update(indices, rng.random(32))
    rows.unusable = {rows.total - 5}
    fresh = RankBased(resort_share=share)
    fresh.bind(rows)
    assert rows.total - 5 not in fresh.draw(rng, 500)[0]


def test_between_sorts_weights_are_those_of_the_places_that_were_drawn() -> None:
    sampler = RankBased(1.0, Annealing(1.0, 1.0), resort_share=1.0)
    bound(sampler, 8, 8)
    for _ in range(2):  # more changes than rows, so the next draw sorts
        sampler.update(np.arange(8), np.arange(8.0) + 1)
    sampler.draw(np.random.default_rng(0), 1)
    sorts = sampler.sorts
    sampler.update(ids(0), np.array([100.0]))  # last, and last it stays for now
    indices, weights = sampler.draw(np.random.default_rng(0), 200)
    assert sampler.sorts == sorts
    assert weights[indices == 0] == pytest.approx(1.0)
    assert weights[indices == 7] == pytest.approx(1 / 8)


def test_rows_that_came_since_the_sort_stand_first() -> None:
    sampler = RankBased(1.0, resort_share=1.0)
    rows = bound(sampler, 20, 8)
    sampler.draw(np.random.default_rng(0), 1)
    sampler.update(np.arange(4), np.full(4, 50.0))
    sorts = sampler.sorts
    rows.add(sampler, 2)
    indices, _ = sampler.probabilities()
    assert indices[:2].tolist() == [9, 8]
    assert sampler.sorts == sorts


def test_late_updates_are_counted_and_change_nothing() -> None:
    sampler = RankBased(resort_share=0.0)
    rows = bound(sampler, 10, 10)
    rows.add(sampler, 4)
    before = told(sampler)
    sampler.update(ids(0, 3), np.array([9.0, 9.0]))
    assert sampler.stale == 2
    assert told(sampler) == before


def test_a_store_opened_again_goes_on_where_it_was() -> None:
    kept, again = RankBased(), RankBased()
    rows = bound(kept, 100, 130)
    rng = np.random.default_rng(5)
    for _ in range(20):
        indices, _ = kept.draw(rng, 16)
        kept.update(indices, rng.random(16))
    again.bind(rows)
    again.restore({name: array.copy() for name, array in kept.state().items()})
    fresh = RankBased(resort_share=0.0)
    fresh.bind(rows)
    fresh.restore(kept.state())
    assert told(again) == told(fresh)
    assert again.draws == kept.draws


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_a_bad_priority_changes_nothing(bad: float) -> None:
    sampler = RankBased(resort_share=0.0)
    bound(sampler, 4, 4)
    before = told(sampler)
    with pytest.raises(UnusableWeight):
        sampler.update(ids(2, 1), np.array([3.0, bad]))
    assert told(sampler) == before


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="alpha lies in"):
        RankBased(-1.0)
    with pytest.raises(BadInput, match="share of changes"):
        RankBased(resort_share=2.0)
    with pytest.raises(BadInput, match="not given to a store"):
        RankBased().draw(np.random.default_rng(0), 1)
