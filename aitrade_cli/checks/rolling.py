"""Proof of S11: the compiled loops over windows give NumPy's numbers, sooner."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from aitrade_cli.checks.fixtures import fixtures_folder
from aitrade_cli.checks.numpy_path import allocated_by
from aitrade_cli.checks.result import Bound, Case, CheckResult
from aitrade_cli.checks.turns import seconds_of, take_turns
from aitrade_cli.market.bars import read_bars
from aitrade_cli.market.rolling import by_numpy, compiled_mean, compiled_std

# What the features of a model roll: one deviation and five means.
SPREADS, MEANS = (48,), (12, 48, 24, 12, 48)
LEAST_SPEED = 1.2  # of the upper end of the interval: a busy host must not fail a check


def loops_are_compiled(quick: bool) -> CheckResult:
    """The rolling figures of all features: the same bits as NumPy's, at a multiple of its pace."""
    rows, rounds = (100_000, 9) if quick else (1_000_000, 25)
    values = long_closes(rows)
    ways = {
        "compiled": partial(all_figures, values, compiled_mean, compiled_std),
        "numpy": partial(all_figures, values, numpy_mean, numpy_std),
    }
    found = {name: way() for name, way in ways.items()}
    unlike = sum(
        int(np.count_nonzero(one != other))
        for one, other in zip(found["compiled"], found["numpy"], strict=True)
    )
    turns = take_turns({name: partial(seconds_of, way) for name, way in ways.items()}, rounds)
    bytes_of = {name: allocated_by(way)[1] for name, way in ways.items()}
    saved = 1.0 - bytes_of["compiled"] / bytes_of["numpy"]
    speed = turns.measured("compiled", "numpy", memory_saved=saved)
    assert speed.speedup_high is not None
    return CheckResult(
        speed,
        (
            Bound("figures that are not NumPy's", unlike, 0, "at_most", "figures"),
            Bound("speed, upper end", speed.speedup_high, LEAST_SPEED, "at_least", "times"),
        ),
        f"{rows:,} closes made of fixture returns, {len(MEANS)} rolling means and {len(SPREADS)}"
        f" deviation over 12 to 48 bars, one thread, loops loaded already; {rounds} rounds in"
        f" turn; {turns.control('compiled')}",
        (
            case_of("mean of 48", values, rounds, compiled_mean, numpy_mean, ""),
            case_of("deviation of 48", values, rounds, compiled_std, numpy_std, ""),
            case_of(
                "mean of 48, no copy",
                values,
                rounds,
                compiled_mean,
                mean_of_views,
                "NumPy's own fastest, whose last bits are others",
            ),
        ),
    )


Figure = Callable[[np.ndarray, int], np.ndarray]


def long_closes(rows: int) -> np.ndarray:
    """A long run of closes with the returns of real bars, one after another and again."""
    close = read_bars(fixtures_folder() / "bars" / "eurusd_1h.parquet").close
    returns = np.diff(np.log(close))
    again = np.resize(returns - returns.mean(), rows)
    return close[0] * np.exp(np.cumsum(again))


def all_figures(values: np.ndarray, mean: Figure, std: Figure) -> list[np.ndarray]:
    return [*(mean(values, n) for n in MEANS), *(std(values, n) for n in SPREADS)]


def numpy_mean(values: np.ndarray, length: int) -> np.ndarray:
    return by_numpy(values, length, lambda windows: windows.mean(axis=1))


def numpy_std(values: np.ndarray, length: int) -> np.ndarray:
    return by_numpy(values, length, lambda windows: windows.std(axis=1))


def mean_of_views(values: np.ndarray, length: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, length).mean(axis=1)


def case_of(
    name: str, values: np.ndarray, rounds: int, ours: Figure, theirs: Figure, note: str
) -> Case:
    ways = {"ours": lambda: ours(values, 48), "theirs": lambda: theirs(values, 48)}
    turns = take_turns({key: partial(seconds_of, way) for key, way in ways.items()}, rounds)
    return Case(name, turns.speed("ours", "theirs").value, None, note)
