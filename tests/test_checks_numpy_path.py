"""The row G1 holds, and notices a copy where there should be a view."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aitrade_cli.checks import numpy_path
from aitrade_cli.checks.numpy_path import (
    CONTROL_BYTES,
    allocated_by,
    backtest_by_loop,
    windows_are_views,
)
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.model.series import Series
from tests.fidelity_market import series


@pytest.fixture(autouse=True)
def _no_stopwatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_path, "time_backtests", lambda *_, **__: (0.5, 0.01))


def broken(result: CheckResult) -> set[str]:
    return {bound.name for bound in result.bounds if not bound.passed}


def test_nothing_is_copied_from_bars_to_torch() -> None:
    result = windows_are_views(quick=True)
    assert broken(result) == set()
    assert result.measured.speedup == pytest.approx(50.0)
    assert result.measured.memory_saved is not None
    assert result.measured.memory_saved > 0.99


def test_a_copy_of_the_windows_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    as_view = Series.windows
    copied = lambda self, length: as_view(self, length).copy()  # noqa: E731 -- one expression
    monkeypatch.setattr(Series, "windows", copied)
    assert broken(windows_are_views(quick=True)) == {
        "bytes allocated for all windows",
        "memory shared from rows to tensor",
    }


def test_a_copy_for_torch_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = torch.from_numpy

    def copied(window: np.ndarray) -> torch.Tensor:
        return handed(window.copy())

    monkeypatch.setattr(torch, "from_numpy", copied)
    assert broken(windows_are_views(quick=True)) == {
        "bytes allocated for torch",
        "memory shared from rows to tensor",
    }


@pytest.mark.parametrize("count", [0, 1_000, 1_000_000])
def test_allocations_are_counted(count: int) -> None:
    made, allocated = allocated_by(lambda: np.zeros(count, dtype=np.float64))
    assert len(made) == count
    assert 8 * count <= allocated <= 8 * count + CONTROL_BYTES


def test_the_loop_that_speed_is_compared_with_does_the_same_work() -> None:
    bars = series(200)
    position = np.sign(bars.features[:, 0]).astype(np.float64)
    slow = backtest_by_loop(position, bars.open_price, Costs())
    fast = backtest(position, bars.open_price, Costs())
    assert np.allclose(slow, fast.net_return[: len(slow)])
