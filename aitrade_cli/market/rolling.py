"""Means and standard deviations of every run of bars, in bounded memory.

NumPy does small work; once a process has done so much of it that loading the compiled loops
pays, they take over. Both add in the same order, so the numbers are the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float64
from numpy.lib.stride_tricks import sliding_window_view

from aitrade_cli.errors import Usage

ROWS_AT_ONCE = 4_096  # windows of 48 bars then take 1.6 MB, which stay in cache
# NumPy needs 2 to 4 ns for each number of each window, the compiled loops under 1; loading them
# takes as long as 0.2e9 of these.
NUMBERS_BEFORE_COMPILING = 200_000_000
COMPILED_UP_TO = 128  # longer runs NumPy adds in another order, see `rolling_kernels`

Values = Float64[np.ndarray, " rows"]
Rolled = Float64[np.ndarray, " n"]


class Work:
    """How many numbers of windows this process has been through."""

    def __init__(self) -> None:
        self.numbers = 0

    def compiled_pays(self, numbers: int, length: int) -> bool:
        """Count work to be done; True where the compiled loops should do it."""
        self.numbers += numbers
        return length <= COMPILED_UP_TO and self.numbers >= NUMBERS_BEFORE_COMPILING


done = Work()  # process-wide like the loops themselves: they are loaded once


def rolling_mean(values: Values, length: int) -> Rolled:
    """Mean of every run of ``length`` values; [t] starts at t. Nothing where there are fewer.

    No running sum, which would carry its rounding from the first row to the last: each run is
    added by itself.

    Raises:
        Usage: ``length`` is below 1.
    """
    rows = checked_rows(values, length)
    if done.compiled_pays(rows * length, length):
        return compiled_mean(values, length)
    return by_numpy(values, length, lambda windows: windows.mean(axis=1))


def rolling_std(values: Values, length: int) -> Rolled:
    """Standard deviation, ``length`` in its denominator, of every run; see `rolling_mean`.

    Raises:
        Usage: ``length`` is below 1.
    """
    rows = checked_rows(values, length)
    if done.compiled_pays(3 * rows * length, length):
        return compiled_std(values, length)
    return by_numpy(values, length, lambda windows: windows.std(axis=1))


def checked_rows(values: Values, length: int) -> int:
    if length < 1:
        raise Usage(f"a run of `{length}` bars is none")
    return max(len(values) - length + 1, 0)


def by_numpy(values: Values, length: int, reduce: Callable[[np.ndarray], np.ndarray]) -> Rolled:
    """Some rows at a time: all windows at once would be ``length`` times the bars."""
    rolled = np.empty(max(len(values) - length + 1, 0))
    for start in range(0, len(rolled), ROWS_AT_ONCE):
        part = values[start : start + ROWS_AT_ONCE + length - 1]
        windows = np.ascontiguousarray(sliding_window_view(part, length))
        rolled[start : start + ROWS_AT_ONCE] = reduce(windows)
    return rolled


def compiled_mean(values: Values, length: int) -> Rolled:
    """The same by compiled loops, for runs of up to ``COMPILED_UP_TO``."""
    from aitrade_cli.market.rolling_kernels import window_means  # 0.7 s of loading

    rolled = np.empty(max(len(values) - length + 1, 0))
    window_means(np.ascontiguousarray(values), length, rolled)
    return rolled


def compiled_std(values: Values, length: int) -> Rolled:
    """The same by compiled loops, for runs of up to ``COMPILED_UP_TO``."""
    from aitrade_cli.market.rolling_kernels import window_spreads

    rolled = np.empty(max(len(values) - length + 1, 0))
    mean = compiled_mean(values, length)
    window_spreads(np.ascontiguousarray(values), length, mean, rolled)
    return rolled
