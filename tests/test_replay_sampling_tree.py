"""The sum tree against slow sums: bit for bit, in exact fractions, and by chi-square."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.sampling.tree import SumTree, UnusableWeight, level_sizes
from tests.replay_rows import goodness_of_fit, ids

SIZES = [1, 2, 15, 16, 17, 255, 256, 257, 4096, 4097, 5000]
weights_of_any_size = st.one_of(
    st.just(0.0), st.floats(1e-12, 1e12), st.floats(1e-12, 1e-11), st.floats(1e11, 1e12)
)
MIXED = st.lists(weights_of_any_size, min_size=1, max_size=300).filter(any)


def tree_of(weights: np.ndarray | list[float]) -> SumTree:
    tree = SumTree(len(weights))
    tree.assign(np.arange(len(weights)), np.asarray(weights, dtype=np.float64))
    return tree


def slow_total(weights: np.ndarray) -> float:
    """Groups of sixteen from left to right, again and again: what the tree says it does."""
    level = [float(weight) for weight in weights]
    while True:
        level += [0.0] * (-len(level) % 16)
        sums = []
        for start in range(0, len(level), 16):
            total = 0.0
            for value in level[start : start + 16]:
                total += value
            sums.append(total)
        if len(sums) == 1:
            return sums[0]
        level = sums


def shares(tree: SumTree) -> list[tuple[Fraction, Fraction]]:
    """Where each slot begins and ends on the line of all weights, without rounding."""
    ends = list(accumulate(Fraction(float(weight)) for weight in tree.weights))
    return list(zip([Fraction(0), *ends], ends, strict=False))


@given(MIXED)
def test_the_total_is_that_of_the_slow_sum_bit_by_bit(weights: list[float]) -> None:
    tree = tree_of(weights)
    assert tree.total == slow_total(tree.weights)


@given(MIXED, st.integers(0, 2**32 - 1))
def test_the_sums_do_not_depend_on_the_way_there(weights: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    tree = SumTree(len(weights))
    for _ in range(5):
        slots = rng.integers(0, len(weights), 40)
        tree.assign(slots, rng.random(40) * 10.0 ** rng.integers(-12, 12, 40))
    tree.assign(rng.permutation(len(weights)), np.zeros(len(weights)))
    assert tree.total == 0.0
    for slot in rng.permutation(len(weights)):
        tree.assign(ids(slot), np.array([weights[slot]]))
    assert tree._sums.tolist() == tree_of(weights)._sums.tolist()


@given(MIXED, st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=50))
def test_each_target_is_found_where_exact_fractions_put_it(
    weights: list[float], parts: list[float]
) -> None:
    tree = tree_of(weights)
    targets = np.array(parts) * tree.total
    # As far as the sums of float64 can tell: a hundred roundings of the total at most.
    blur = Fraction(tree.total) * 100 / 2**53
    share = shares(tree)
    for target, slot in zip(targets, tree.find(targets), strict=True):
        assert tree.weights[slot] > 0
        assert share[slot][0] - blur <= Fraction(target) <= share[slot][1] + blur


@pytest.mark.parametrize("size", SIZES)
def test_whole_numbers_are_found_exactly(size: int) -> None:
    """Their sums have no rounding, so the running sum decides every case, edges included."""
    rng = np.random.default_rng(size)
    weights = rng.integers(0, 1000, size).astype(np.float64)
    weights[rng.random(size) < 0.3] = 0.0
    weights[rng.integers(size)] = 7.0
    tree = tree_of(weights)
    running = np.cumsum(weights)
    targets = np.concatenate([np.arange(min(running[-1], 3000.0)), [running[-1] - 1]])
    expected = np.searchsorted(running, targets, side="right")
    assert tree.find(targets).tolist() == expected.tolist()


@pytest.mark.parametrize("size", [7, 4097])
def test_a_million_draws_follow_the_weights(size: int) -> None:
    rng = np.random.default_rng(3)
    weights = rng.random(size) ** 4
    weights[rng.random(size) < 0.1] = 0.0
    tree = tree_of(weights)
    counts = np.bincount(tree.find(rng.random(1_000_000) * tree.total), minlength=size)
    assert 0.001 < goodness_of_fit(counts, tree.weights.astype(np.float64)) < 0.999


def test_the_fit_would_notice_one_weight_that_is_two_per_cent_off() -> None:
    rng = np.random.default_rng(3)
    tree = tree_of(np.ones(7))
    counts = np.bincount(tree.find(rng.random(1_000_000) * tree.total), minlength=7)
    believed = np.ones(7)
    believed[3] = 1.02
    assert goodness_of_fit(counts, believed) < 0.001


@given(MIXED, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_a_batch_holds_each_slot_as_often_as_its_share(
    weights: list[float], count: int, seed: int
) -> None:
    """Stratified: two draws more or less at most, and never one without weight."""
    tree = tree_of(weights)
    slots, values = tree.draw(np.random.default_rng(seed), count)
    assert (np.diff(slots) >= 0).all()
    assert (values == tree.weights[slots]).all()
    assert (values > 0).all()
    times = np.bincount(slots, minlength=len(weights))
    assert (abs(times - count * tree.weights / tree.total) <= 2.0 + 1e-9).all()


def test_a_weight_smaller_than_the_rounding_of_the_sum_does_no_harm() -> None:
    tree = tree_of([1e12, 1e-12, 0.0, *[0.0] * 40, 1e-12, 0.0])
    top = np.nextafter(tree.total, 0.0)
    assert tree.find(np.array([0.0, top])).tolist()[0] == 0
    assert tree.weights[tree.find(np.array([top]))][0] > 0


def test_a_tiny_weight_stays_positive() -> None:
    tree = tree_of([1e-300, 0.0])
    assert tree.weights[0] > 0
    assert tree.find(np.array([0.0])).tolist() == [0]


def test_of_a_slot_named_twice_the_last_weight_holds() -> None:
    tree = tree_of([1.0] * 20)
    tree.assign(ids(3, 18, 3, 3), np.array([5.0, 2.0, 9.0, 4.0]))
    assert tree.weights[[3, 18]].tolist() == [4.0, 2.0]
    assert tree.total == slow_total(tree.weights)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_of_slots_is_filled(size: int) -> None:
    tree = SumTree(size)
    tree.fill(0, size, 2.0)
    tree.fill(size // 2, size - size // 2, np.arange(size - size // 2, dtype=np.float32))
    expected = [2.0] * (size // 2) + list(range(size - size // 2))
    assert tree.weights.tolist() == expected
    assert tree.total == sum(expected)
    tree.fill(0, 0, 9.0)
    assert tree.total == sum(expected)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf, 1e39])
def test_a_weight_that_is_none_is_refused_and_nothing_changes(bad: float) -> None:
    tree = tree_of([1.0, 2.0])
    with pytest.raises(UnusableWeight, match="at position 1"):
        tree.assign(ids(0, 1), np.array([5.0, bad]))
    with pytest.raises(UnusableWeight):
        tree.fill(0, 1, bad)
    assert tree.weights.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("slot", [-1, 2, 10**12])
def test_a_slot_that_is_not_there_is_refused(slot: int) -> None:
    tree = tree_of([1.0, 2.0])
    with pytest.raises(BadInput, match="slots go from 0 to 1"):
        tree.assign(ids(slot), np.array([5.0]))
    with pytest.raises(BadInput, match="slots go from 0 to 1"):
        tree.fill(slot, 1, 5.0)


def test_nothing_can_be_drawn_where_nothing_weighs() -> None:
    with pytest.raises(BadInput, match="nothing can be drawn"):
        SumTree(5).draw(np.random.default_rng(0), 3)
    with pytest.raises(BadInput, match="at least one slot"):
        SumTree(0)


def test_levels_grow_with_the_logarithm() -> None:
    assert level_sizes(1) == [16]
    assert level_sizes(256) == [16]
    assert level_sizes(257) == [32, 16]
    assert len(level_sizes(10**6)) == 4


def test_the_weights_cannot_be_written_past_the_sums() -> None:
    with pytest.raises(ValueError, match="read-only"):
        tree_of([1.0]).weights[0] = 2.0
