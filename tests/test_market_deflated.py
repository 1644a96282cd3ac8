"""The deflated Sharpe ratio: its authors' example, and noise that must not pass."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aitrade_cli.errors import Usage
from aitrade_cli.market.deflated import (
    Moments,
    deflate,
    expected_best,
    moments_of,
    probabilistic,
)

DAYS = 252


def test_the_authors_example() -> None:
    """Bailey and López de Prado 2014: 100 trials, variance 0.5 a year, 1,250 days, Sharpe 2.5."""
    luck = expected_best(100, 0.5 / 250)
    told = Moments(2.5 / math.sqrt(250), skewness=-3.0, kurtosis=10.0, bars=1250)
    assert luck == pytest.approx(0.1132, abs=5e-5)
    assert probabilistic(told, luck) == pytest.approx(0.9004, abs=5e-5)


def test_one_look_is_not_deflated() -> None:
    assert expected_best(1, 0.5) == 0.0
    with pytest.raises(Usage):
        expected_best(0, 0.5)


def test_moments_of_a_normal_sample_and_of_nothing() -> None:
    told = moments_of(np.random.default_rng(0).normal(0.1, 1.0, 200_000))
    assert told is not None
    assert told.sharpe == pytest.approx(0.1, abs=0.01)
    assert told.skewness == pytest.approx(0.0, abs=0.02)
    assert told.kurtosis == pytest.approx(3.0, abs=0.05)
    assert moments_of(np.zeros(10)) is None
    assert moments_of(np.array([0.1, 0.2])) is None


def best_of_noise(seed: int, looks: int, kinship: float) -> tuple[np.ndarray, list[float]]:
    """Returns of the luckiest of many, and the Sharpe ratios of all; true values are zero.

    ``kinship`` is the share of variance that all looks have in common, as epochs of a run have.
    """
    random = np.random.default_rng(seed)
    common = random.normal(size=DAYS) * math.sqrt(kinship)
    every = common + random.normal(size=(looks, DAYS)) * math.sqrt(1 - kinship)
    sharpes = every.mean(axis=1) / every.std(axis=1, ddof=1)
    return every[sharpes.argmax()], [float(one) for one in sharpes]


@pytest.mark.parametrize("kinship", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("looks", [10, 50])
def test_at_most_one_noise_in_twenty_is_accepted(looks: int, kinship: float) -> None:
    accepted = raw = 0
    for seed in range(400):
        returns, sharpes = best_of_noise(seed, looks, kinship)
        told = moments_of(returns)
        assert told is not None
        accepted += deflate(told, sharpes).accepted
        raw += probabilistic(told, 0.0) >= 0.95
    # Two standard errors of 400 tosses with one in twenty are 2.2 %.
    assert accepted / 400 <= 0.05 + 0.022
    if kinship < 0.9:
        assert raw / 400 > 0.15  # without deflation luck passes


def test_an_edge_that_is_there_is_accepted() -> None:
    returns = np.random.default_rng(0).normal(0.3, 1.0, DAYS)
    told = moments_of(returns)
    assert told is not None
    assert deflate(told, [0.02, -0.05, 0.01, told.sharpe]).accepted
