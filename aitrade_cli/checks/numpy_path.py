"""Proof of G1: the data path is NumPy from the file to torch, and nothing on it is copied."""

from __future__ import annotations

import time
import tracemalloc
import warnings
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch

from aitrade_cli.checks.fixtures import fixtures_folder
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.market.backtest import Costs, backtest
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.features import DEFAULT_FEATURES, fit_preprocessing, prepare
from aitrade_cli.model.series import Series

T = TypeVar("T")
WINDOW = 64
CONTROL_BYTES = 64 * 1024  # Python's own bookkeeping; one copied window set is megabytes


def windows_are_views(quick: bool) -> CheckResult:
    """Bars become windows and torch tensors without a copy; the backtest has no Python loop."""
    bars = read_bars(str(fixtures_folder() / "bars" / "eurusd_1h.parquet"))
    series = prepare(bars, fit_preprocessing(bars, DEFAULT_FEATURES, WINDOW))
    windows, allocated = allocated_by(lambda: series.windows(WINDOW))
    tensor, handed = allocated_by(lambda: tensor_of(windows))
    materialized = windows.size * windows.itemsize
    loop, vectorised = time_backtests(series, repeats=3 if quick else 9)
    return CheckResult(
        Measured(
            speedup=loop / vectorised,
            memory_saved=1.0 - (allocated + handed) / materialized,
        ),
        (
            Bound("bytes allocated for all windows", allocated, CONTROL_BYTES, "at_most", "bytes"),
            Bound("bytes allocated for torch", handed, CONTROL_BYTES, "at_most", "bytes"),
            Bound(
                "memory shared from rows to tensor",
                float(np.shares_memory(series.features, tensor.numpy())),
                1.0,
                "at_least",
                "yes",
            ),
        ),
        f"{len(windows):,} windows of {WINDOW} bars; backtest of {len(series):,} bars against a "
        "loop over bars, median",
        (
            Case("windows", None, 1.0 - allocated / materialized, "against materialized windows"),
            Case("backtest", loop / vectorised, None, "against a loop over bars"),
        ),
    )


def tensor_of(windows: np.ndarray) -> torch.Tensor:
    with warnings.catch_warnings():
        # Windows that overlap are read-only, and torch has no tensor that is; nobody writes here.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(windows)


def allocated_by(make: Callable[[], T]) -> tuple[T, int]:
    """What ``make`` returns, and how many bytes it left allocated at its peak."""
    tracemalloc.start()
    try:
        made = make()
        return made, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def time_backtests(series: Series, repeats: int) -> tuple[float, float]:
    """Median seconds of the loop and of the vectorised backtest, taken in turn."""
    position = np.sign(series.features[:, 0]).astype(np.float64)
    loops, vectors = [], []
    for _ in range(repeats):
        loops.append(seconds(lambda: backtest_by_loop(position, series.open_price, Costs())))
        vectors.append(seconds(lambda: backtest(position, series.open_price, Costs())))
    return float(np.median(loops)), float(np.median(vectors))


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def backtest_by_loop(position: np.ndarray, open_price: np.ndarray, costs: Costs) -> list[float]:
    """The obvious way, one bar at a time; the other side of the speed ratio, not an oracle."""
    rate = (costs.fee_bps + costs.slippage_bps) * 1e-4
    held, earned = 0.0, []
    for t in range(len(position) - 2):
        gross = position[t] * (open_price[t + 2] / open_price[t + 1] - 1.0)
        earned.append(gross - abs(position[t] - held) * rate)
        held = position[t]
    return earned
