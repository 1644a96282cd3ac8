"""Batches that workers cut ahead of use are the batches of a run without them, bit by bit."""

from __future__ import annotations

from dataclasses import replace
from multiprocessing import active_children
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from aitrade_cli.training.feeding import Feeder, fed, find_workers
from aitrade_cli.training.goal import Fit
from aitrade_cli.training.loading import LoaderSettings, SharedWindows
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.run import Hooks, Recipe, State, pursue
from tests.test_training_loop import arch, planted
from tests.test_training_resume import Counts, data, noisy, reopened

RECIPE = Recipe(epochs=3, batch=32, learning_rate=5e-3, patience=9, seed=3)


def trained(
    recipe: Recipe, workers: int, state: State | None = None, take_at: int = -1
) -> tuple[dict[str, Tensor], Fit, State | None]:
    """A network with dropout and noise of its own."""
    network, objective, counts = noisy(), data(), Counts(take_at)
    with fed(objective, LoaderSettings(workers)):
        hooks = Hooks(callbacks=(counts,))
        fit = pursue(network, objective, recipe, hooks=hooks, state=state)
    assert objective.feed is None
    return network.state_dict(), fit, counts.taken


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_a_run_with_a_worker_ends_the_same_and_so_does_one_that_is_taken_up(
    accumulate: int,
) -> None:
    recipe = replace(RECIPE, accumulate=accumulate)
    plain, told, _ = trained(recipe, 0)
    ahead, again, state = trained(recipe, 1, take_at=10)  # in the middle of the second pass
    assert equal(plain, ahead)
    assert again == told
    assert state is not None
    up, last, _ = trained(recipe, 1, reopened(state))
    assert equal(plain, up)
    assert last == told
    assert active_children() == []


def test_every_batch_of_such_a_run_comes_from_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    def here(*_: Any) -> Any:
        raise AssertionError("a batch was cut in the training process")

    network, objective = noisy(), data()
    with fed(objective, LoaderSettings(1)):
        assert isinstance(objective.feed, Feeder)
        start = objective.feed.loader.in_parts
        # The worker is a copy of this process, made by the first batch: this one forgets how after.
        monkeypatch.setattr(objective.feed.loader, "in_parts", lambda parts: broken(start(parts)))

        def broken(batches: Any) -> Any:
            yield next(batches)
            monkeypatch.setattr(SharedWindows, "batch", here)
            yield from batches

        pursue(network, objective, replace(RECIPE, epochs=1))


def test_rows_that_nobody_announced_are_cut_at_once_and_take_nobody_s_place() -> None:
    examples = planted(40)
    feeder = Feeder(examples, LoaderSettings())
    first, second = torch.tensor([3, 1]), torch.tensor([7, 9, 11])
    feeder.coming([first, second])
    for rows in (first, torch.tensor([5]), second, second):
        windows, classes = feeder.draw(rows.numpy())
        assert np.array_equal(windows.numpy(), examples.windows[rows.numpy()])
        assert np.array_equal(classes.numpy(), examples.classes[rows.numpy()])
    assert not feeder.expected


class Second(Alone):
    """The second process of two."""

    rank, world = 1, 2

    def rows(self, window: Tensor) -> Tensor:
        return window.tensor_split(2)[1]

    def agree(self, value: bool) -> bool:
        return value


def test_a_process_announces_its_own_rows_and_no_empty_part() -> None:
    asked: list[list[int]] = []

    class Listens(type(data())):
        def coming(self, parts: Any) -> None:
            asked.extend(part.tolist() for part in parts)

        def share(self, network: Any, rows: Any, window: Any) -> Tensor:
            assert asked.pop(0) == rows.tolist()
            return super().share(network, rows, window)

    goal = Listens(planted(65), planted(16))  # the last window of one row is the first process'
    recipe = replace(RECIPE, epochs=1, accumulate=3)
    pursue(fresh(arch("mlp"), 1), goal, recipe, placement=Second())
    assert asked == []


def test_workers_are_found_by_steps_that_change_nothing() -> None:
    network, objective = noisy(), data()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    torch.manual_seed(1)
    found = find_workers(network, objective, RECIPE)
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert 0 in {one.settings.workers for one in found.tried}
    assert equal(before, network.state_dict())
    assert active_children() == []
