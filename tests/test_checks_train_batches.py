"""The check of found batches measures anew: a finder that chooses badly fails it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aitrade_cli.checks import train_batches
from aitrade_cli.checks.train_batches import measured_again, memory_of_largest, share_of
from aitrade_cli.training.batch_size import BatchChoice, Candidate, find_batch
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.trial import Trial
from tests.test_training_loop import arch, planted


def goal() -> Labels:
    return Labels(planted(300), planted(16))


def test_rivals_are_stepped_anew_and_the_finder_s_own_figures_are_not_believed() -> None:
    boasted = tuple(Candidate(size, 1e9 if size == 16 else 1.0, 8) for size in (8, 16, 32, 64))
    found = BatchChoice(16, 64, 10**6, boasted)
    trials = measured_again(fresh(arch("mlp"), 1), goal(), found, rounds=2)
    assert sorted(trials) == [8, 16, 32]
    assert all(len(one.seconds) == 2 for one in trials.values())


def test_a_share_is_windows_a_second_over_the_rival_s() -> None:
    trials = {
        size: Trial(Recipe(batch=size), (seconds,) * 5, 0, finite=True)
        for size, seconds in ((8, 0.01), (64, 0.02))
    }
    value, high = share_of(8, 64, trials)
    assert value == pytest.approx((8 / 0.01) / (64 / 0.02))
    assert high == pytest.approx(value)
    assert share_of(64, 64, trials) == (1.0, 1.0)


@pytest.mark.parametrize(("factor", "fits"), [(1.0, True), (2.0, False), (0.5, False)])
def test_a_largest_batch_that_does_not_fit_or_is_too_small_is_seen(
    factor: float, fits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*given: Any, **named: Any) -> BatchChoice:
        choice = find_batch(*given, **named)
        return replace(choice, largest=int(choice.largest * factor))

    monkeypatch.setattr(train_batches, "find_batch", found)
    used, _ = memory_of_largest(fresh(arch("mlp"), 1), goal())
    assert (train_batches.LEAST_USED <= used <= 1.0) is fits
