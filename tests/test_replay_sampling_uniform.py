"""A uniform draw gives every live row the same chance, however many are asked for at once."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare

from aitrade_cli.errors import Usage
from aitrade_cli.replay.interfaces import Indices
from aitrade_cli.replay.sampling.uniform import Uniform
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

SCHEMA = Schema((Field("obs", "float32", (2,)), Field("act", "int64"), Field("reward", "float32")))


class Oldest(Uniform):
    """Draws the oldest row, whatever the random numbers say."""

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Indices, None]:
        assert self.rows is not None
        return self.rows.first + rng.integers(0, 1, count), None


def filled(rows: int, capacity: int, sampler: Uniform | None = None) -> ReplayStore:
    store = ReplayStore(SCHEMA, capacity, sampler=sampler, seed=5)
    states = np.arange(2 * rows + 2, dtype=np.float32).reshape(-1, 2)
    store.add_batch(
        obs=states[:-1],
        next_obs=states[1:],
        act=np.arange(rows),
        reward=np.zeros(rows, np.float32),
        terminated=np.zeros(rows, np.bool_),
    )
    return store


@pytest.mark.parametrize("capacity", [400, 100])
def test_rows_are_drawn_as_often_as_chance_has_it(capacity: int) -> None:
    store = filled(300, capacity)
    drawn = np.concatenate([store.sample(256).indices for _ in range(400)])
    counts = np.bincount(drawn - store.first, minlength=len(store))
    assert len(counts) == len(store)
    assert chisquare(counts).pvalue > 1e-4


def test_rows_lie_where_the_random_numbers_of_the_seed_say() -> None:
    store = filled(300, 400)
    drawn = np.concatenate([store.sample(n).indices for n in (256, 1, 100, 3)])
    shares = np.random.default_rng(5).random(len(drawn))
    np.testing.assert_array_equal(drawn, np.floor(shares * 300))


def test_a_batch_may_ask_for_more_random_numbers_than_are_drawn_at_once() -> None:
    assert len(set(filled(300, 400).sample(50_000).indices.tolist())) == 300


def test_a_sampler_that_draws_otherwise_is_asked() -> None:
    assert set(filled(300, 100, Oldest()).sample(20).indices.tolist()) == {200}


@pytest.mark.parametrize("batch", [0, -3])
def test_a_batch_of_no_rows_is_refused(batch: int) -> None:
    with pytest.raises(Usage, match=f"at least 1 row, got `{batch}`"):
        filled(30, 40).sample(batch)
