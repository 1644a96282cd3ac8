"""What is fitted to bars after the training part is found; chance is counted by horizons."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from torch import nn

from aitrade_cli.market.bars import Bars
from aitrade_cli.market.features import fit_preprocessing
from aitrade_cli.market.split import Fold
from aitrade_cli.passes.train import leaks
from aitrade_cli.passes.train.leaks import FutureLeaks, another_future, shuffled_labels
from aitrade_cli.training.labels import fit_band, forward_trend
from aitrade_cli.training.loop import tensor_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of
from tests.test_training_loop import planted
from tests.test_training_walk import PLAN, WARMUP, random_bars


def scaled_by_validation(bars: Bars, plan: Plan, fold: Fold) -> FoldExamples:
    """The classic leak: the scale is fitted to all bars but the test's."""
    both = bars.rows(0, WARMUP + fold.train_stop)
    fitted = fit_preprocessing(both, plan.features, plan.window, plan.clip)
    return replace(examples_of(bars, plan, fold), preprocessing=fitted)


def band_by_validation(bars: Bars, plan: Plan, fold: Fold) -> FoldExamples:
    trend = forward_trend(bars.close, plan.labelling)[WARMUP:][: fold.train_stop]
    band = fit_band(trend, flat_share=plan.flat_share)
    return replace(examples_of(bars, plan, fold), band=band)


@pytest.mark.parametrize("leaky", [scaled_by_validation, band_by_validation])
def test_what_is_fitted_to_the_validation_part_too_is_a_leak(
    leaky: Callable[[Bars, Plan, Fold], FoldExamples], monkeypatch: pytest.MonkeyPatch
) -> None:
    bars = random_bars()
    fold = folds_of(bars, PLAN)[-1]
    honest = examples_of(bars, PLAN, fold)
    told = another_future(bars, PLAN, honest)
    assert told.windows == len(honest.training) + len(honest.validation)
    monkeypatch.setattr(leaks, "examples_of", leaky)
    with pytest.raises(FutureLeaks, match="when only bars after the training part do"):
        another_future(bars, PLAN, leaky(bars, PLAN, fold))


@pytest.mark.parametrize("horizon", [1, 48])
def test_chance_is_as_wide_as_labels_that_do_not_overlap_make_it(horizon: int) -> None:
    network = nn.Sequential(nn.Flatten(), nn.LazyLinear(3))
    training, validation = planted(64), planted(480, seed=1)
    network(tensor_of(training.windows[:2]))
    recipe = Recipe(epochs=1, batch=64)
    _, chance = shuffled_labels(network, training, validation, recipe, horizon)
    share = np.bincount(validation.classes).max() / len(validation)
    error = math.sqrt(share * (1 - share) * horizon / len(validation))
    assert chance == pytest.approx(share + 4 * error)
