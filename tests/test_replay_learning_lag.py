"""Ages of policies, and draws that prefer the young ones."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Sampler
from aitrade_cli.replay.learning.lag import AgeBin, age_report
from aitrade_cli.replay.sampling.by_age import ByAge
from aitrade_cli.report.blocks import view
from tests.replay_rows import FakeRows, goodness_of_fit


def rows_of(versions: list[int], sampler: ByAge, capacity: int = 100) -> FakeRows:
    rows = FakeRows(capacity, {"policy_version": np.array(versions, dtype=np.int32)})
    assert isinstance(sampler, Sampler)
    sampler.bind(rows)
    rows.add(sampler, len(versions))
    return rows


def test_ages_are_counted_in_bins_that_double() -> None:
    report = age_report(np.array([9, 9, 8, 7, 6, 5, 1, 9]), 9)
    assert report.bins == (AgeBin(0, 3), AgeBin(1, 1), AgeBin(2, 2), AgeBin(4, 1), AgeBin(8, 1))
    assert (report.age_mean, report.age_p50, report.age_p99, report.age_max) == (2.25, 1, 8, 8)
    assert report.rows == 8
    assert view(report)


@given(st.lists(st.integers(0, 200), min_size=1, max_size=60))
def test_every_row_is_in_one_bin_and_percentiles_are_those_of_a_sorted_list(
    ages: list[int],
) -> None:
    report = age_report(200 - np.array(ages), 200)
    assert sum(one.rows for one in report.bins) == len(ages)
    edges = [one.from_age for one in report.bins]
    for k, one in enumerate(report.bins):
        end = edges[k + 1] if k + 1 < len(edges) else float("inf")
        assert one.rows == sum(one.from_age <= age < end for age in ages)
    assert sum(age <= report.age_p50 for age in ages) >= len(ages) / 2
    assert sum(age <= report.age_p99 for age in ages) >= 0.99 * len(ages)
    assert report.age_p99 in ages


def test_rows_of_the_future_and_no_rows_are_refused() -> None:
    with pytest.raises(BadInput, match="version `7`, the policy is `6`"):
        age_report(np.array([7]), 6)
    with pytest.raises(BadInput, match="no row"):
        age_report(np.array([], dtype=np.int64), 6)


@pytest.mark.parametrize("half_life", [0.5, 2.0, 10.0])
def test_chances_halve_with_every_half_life(half_life: float) -> None:
    versions = [0, 3, 3, 7, 8, 8, 1]
    sampler = ByAge(half_life=half_life)
    rows_of(versions, sampler)
    sampler.version = 9
    expected = 0.5 ** ((9 - np.array(versions)) / half_life)
    got = sampler.probabilities(np.arange(7))
    assert got == pytest.approx(expected / expected.sum(), rel=1e-6)


def test_a_million_draws_follow_the_ages() -> None:
    rng = np.random.default_rng(4)
    versions = rng.integers(0, 40, 100).tolist()
    sampler = ByAge(max_age=30, half_life=8.0)
    rows_of(versions, sampler)
    sampler.version = 45
    ages = 45 - np.array(versions)
    expected = np.where(ages <= 30, 0.5 ** (ages / 8.0), 0.0)
    counts = np.zeros(100, dtype=np.int64)
    for _ in range(4000):
        indices, weights = sampler.draw(rng, 250)
        assert weights is None
        counts += np.bincount(indices, minlength=100)
    assert goodness_of_fit(counts, expected) > 0.001


@given(st.data())
def test_only_rows_young_enough_are_drawn_whatever_came_and_went(data: st.DataObject) -> None:
    limit = data.draw(st.integers(0, 6))
    half_life = data.draw(st.sampled_from([None, 0.01, 3.0]))
    versions = np.zeros(400, dtype=np.int64)
    sampler, rows = ByAge(limit, half_life), FakeRows(25, {"policy_version": versions})
    sampler.bind(rows)
    now = 0
    for _ in range(data.draw(st.integers(1, 12))):
        count = data.draw(st.integers(0, 30))
        late = data.draw(st.lists(st.integers(0, 3), min_size=count, max_size=count))
        versions[rows.total : rows.total + count] = np.maximum(0, now - np.array(late, int))
        rows.add(sampler, count)
        now += data.draw(st.integers(0, 4))
        sampler.version = now
        live = np.arange(rows.first, rows.total)
        young = live[versions[live] >= now - limit]
        if len(young):
            drawn, _ = sampler.draw(np.random.default_rng(0), 40)
            assert set(drawn.tolist()) <= set(young.tolist())
            if half_life is None:
                expected = np.isin(live, young) / len(young)
                assert sampler.probabilities(live) == pytest.approx(expected)
        elif len(live):
            with pytest.raises(BadInput, match="nothing can be drawn"):
                sampler.draw(np.random.default_rng(0), 4)


def test_versions_far_apart_still_give_finite_chances() -> None:
    sampler = ByAge(half_life=1.0)
    rows = rows_of([5, 1_000_000, 1_000_001], sampler)
    assert sampler.probabilities(np.arange(3)) == pytest.approx([0.0, 1 / 3, 2 / 3], abs=1e-30)
    rows.columns["policy_version"] = np.array([5, 1_000_000, 1_000_001, 3_000_000])
    rows.add(sampler, 1)
    assert sampler.probabilities(np.arange(4))[3] == pytest.approx(1.0)
    assert sampler.version == 3_000_000


def test_the_report_counts_rows_beyond_the_limit_too() -> None:
    sampler = ByAge(max_age=1)
    rows_of([0, 4, 5], sampler)
    sampler.version = 5
    assert sampler.report().age_max == 5
    assert sampler.report().rows == 3


def test_a_store_opened_again_reads_the_versions_of_its_rows() -> None:
    kept, again = ByAge(max_age=3), ByAge(max_age=3)
    rows = rows_of([0, 1, 2, 3, 4], kept)
    kept.version = 5
    again.bind(rows)
    again.restore(kept.state())
    again.added(0, rows.total)
    assert again.version == 5
    everything = np.arange(5)
    assert again.probabilities(everything).tolist() == kept.probabilities(everything).tolist()


def test_wrong_settings_and_steps_back_are_refused() -> None:
    with pytest.raises(BadInput, match="oldest age"):
        ByAge(max_age=-1)
    with pytest.raises(BadInput, match="half-life"):
        ByAge(half_life=0.0)
    sampler = ByAge()
    rows_of([3], sampler)
    sampler.version = 4
    with pytest.raises(BadInput, match="versions only rise"):
        sampler.version = 3
    with pytest.raises(BadInput, match="not given to a store"):
        ByAge().draw(np.random.default_rng(0), 1)


def test_a_store_without_versions_is_named() -> None:
    sampler, rows = ByAge(), FakeRows(10)
    sampler.bind(rows)
    rows.add(sampler, 3)
    with pytest.raises(BadInput, match="no field `policy_version`"):
        sampler.draw(np.random.default_rng(0), 1)
