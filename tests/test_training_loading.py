"""Shared windows are the windows, settings change no batch, and the fastest one is found."""

from __future__ import annotations

from multiprocessing import active_children

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from aitrade_cli.errors import BadInput
from aitrade_cli.training.loading import (
    Batch,
    Loader,
    LoaderSettings,
    SharedWindows,
    bytes_of,
    unrolled,
)
from aitrade_cli.training.loading_choice import (
    Racer,
    Tried,
    chosen,
    find_settings,
    grid,
)
from aitrade_cli.training.loop import Examples


def overlapping(count: int = 50, time: int = 8, every: int = 1) -> Examples:
    bars = np.random.default_rng(0).standard_normal((count, 3)).astype(np.float32)
    windows = sliding_window_view(bars, time, axis=0).transpose(0, 2, 1)[::every]
    return Examples(windows, np.arange(len(windows)) % 3)


@given(
    time=st.integers(1, 9), every=st.integers(1, 12), copied=st.booleans(), seed=st.integers(0, 9)
)
@settings(max_examples=60, deadline=None)
def test_shared_windows_are_the_windows(time: int, every: int, copied: bool, seed: int) -> None:
    examples = overlapping(40, time, every)
    if copied:
        examples = Examples(examples.windows.copy(), examples.classes)
    shared = SharedWindows.of(examples)
    rows = torch.from_numpy(np.random.default_rng(seed).integers(0, len(examples), 5))
    windows, classes = shared.batch(rows)
    assert np.array_equal(windows.numpy(), examples.windows[rows])
    assert np.array_equal(classes.numpy(), examples.classes[rows])
    assert windows.is_contiguous()


def test_overlapping_windows_are_stored_once_even_where_they_were_copied() -> None:
    examples = overlapping(200, 16)
    copied = Examples(examples.windows.copy(), examples.classes)
    for one in (examples, copied):
        bars, every = unrolled(one.windows)
        assert (len(bars), every) == (200, 1)
    shared = SharedWindows.of(copied)
    assert shared.bars.is_shared()
    assert shared.size_bytes < copied.windows.nbytes / 4


def test_windows_in_no_order_are_laid_end_to_end() -> None:
    windows = np.random.default_rng(0).standard_normal((4, 3, 2)).astype(np.float32)
    bars, every = unrolled(windows)
    assert (bars.shape, every) == ((12, 2), 3)


def test_no_windows_are_refused() -> None:
    with pytest.raises(BadInput, match="no windows"):
        SharedWindows.of(Examples(np.zeros((0, 4, 2), np.float32), np.zeros(0, np.int64)))


def doubled(window: Tensor) -> Tensor:
    return window * 2


def test_a_transform_sees_each_window_by_itself() -> None:
    examples = overlapping()
    windows, _ = SharedWindows.of(examples, doubled).batch(torch.tensor([3, 9]))
    assert np.array_equal(windows.numpy(), examples.windows[[3, 9]] * 2)


def batches(source: SharedWindows, how: LoaderSettings, order: Tensor) -> list[Batch]:
    with Loader(source, how) as loader:
        return list(loader.batches(order, 8))


def test_workers_give_the_same_batches_in_the_same_order_and_leave_nobody_behind() -> None:
    source = SharedWindows.of(overlapping(), doubled)
    order = torch.randperm(len(source), generator=torch.Generator().manual_seed(1))
    plain = batches(source, LoaderSettings(), order)
    with Loader(source, LoaderSettings(workers=2)) as loader:
        next(iter(loader.batches(order, 8)))  # a pass that is left halfway
        for _ in range(2):  # the workers live on
            found = list(loader.batches(order, 8))
            assert len(found) == len(plain)
            for one, other in zip(found, plain, strict=True):
                assert all(a.equal(b) for a, b in zip(one, other, strict=True))
    assert active_children() == []


def fails(_window: Tensor) -> Tensor:
    raise ValueError("planted")


def test_a_failure_in_a_worker_reaches_the_caller_with_its_traceback() -> None:
    source = SharedWindows.of(overlapping(), fails)
    with pytest.raises(ValueError, match="planted") as found:
        batches(source, LoaderSettings(workers=1), torch.arange(16))
    assert "test_training_loading" in str(found.value)
    assert active_children() == []


def test_settings_that_cannot_be_are_refused() -> None:
    for workers, prefetch in ((-1, 2), (0, 0)):
        with pytest.raises(BadInput):
            LoaderSettings(workers, prefetch)
    assert str(LoaderSettings(2, 4)) == "2 workers, 4 batches ahead"
    assert str(LoaderSettings()) == "0 workers"


def test_the_grid_holds_no_worker_and_one_a_core() -> None:
    found = grid(4, cuda=False)
    assert {one.workers for one in found} == {0, 1, 2, 4}
    assert not any(one.pinned for one in found)
    assert sum(one.workers == 0 for one in found) == 1
    assert any(one.pinned for one in grid(2, cuda=True))
    assert {one.workers for one in grid(1, cuda=False)} == {0, 1}


class Clock:
    """Time that passes only where a batch is made; each setting at its own pace."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Paced:
    """A source that takes as long as it is told to."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self.clock, self.seconds = clock, seconds

    def __len__(self) -> int:
        return 64

    def batch(self, rows: Tensor) -> Batch:
        self.clock.now += self.seconds
        return (rows,)


def test_a_rate_is_rows_over_time_and_the_first_batch_is_not_timed() -> None:
    clock = Clock()
    racer = Racer(Loader(Paced(clock, 0.01)), 8, lambda _: None, clock)
    racer.run(0.1)
    assert racer.rate == pytest.approx(800.0)
    assert racer.rounds == 1


@pytest.mark.parametrize(
    ("rates", "wanted"),
    [
        ({(0, 4): 100.0, (1, 4): 90.0}, 0),
        ({(0, 4): 100.0, (1, 4): 102.0}, 0),  # no machinery for the last 3 %
        ({(0, 4): 100.0, (1, 4): 110.0}, 1),
        ({(0, 1): 500.0, (1, 4): 110.0}, 1),  # dropped after a round: one lucky moment
    ],
)
def test_near_equals_take_the_one_with_fewer_workers(
    rates: dict[tuple[int, int], float], wanted: int
) -> None:
    tried = [Tried(LoaderSettings(one), rate, rounds) for (one, rounds), rate in rates.items()]
    assert chosen(tried).workers == wanted


def test_the_choice_is_among_what_was_tried_and_its_workers_are_gone() -> None:
    source = SharedWindows.of(overlapping(400))
    some = (LoaderSettings(), LoaderSettings(1))
    found = find_settings(source, 32, among=some)
    assert found.settings in some
    assert {one.settings for one in found.tried} == set(some)
    assert found.over_none is not None
    assert found.over_none >= 0.97
    assert str(found.settings) in str(found)
    assert active_children() == []


def test_batches_are_counted_in_bytes() -> None:
    assert bytes_of((torch.zeros(4, 2), torch.zeros(4, dtype=torch.int64))) == 4 * 2 * 4 + 4 * 8
