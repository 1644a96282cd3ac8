"""Rows as a sampler sees them, without a store."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import stats

from aitrade_cli.replay.interfaces import Indices, LiveRows, Sampler


class FakeRows:
    """A ring of numbered rows; ``unusable`` ones hold only the last state of an episode."""

    def __init__(self, capacity: int, columns: Mapping[str, np.ndarray] | None = None) -> None:
        self.capacity = capacity
        self.total = 0
        self.dropped = 0  # rows that went before the ring needed their slot
        self.unusable: set[int] = set()
        self.columns = dict(columns or {})

    @property
    def first(self) -> int:
        return max(self.dropped, self.total - self.capacity)

    def sampleable(self, indices: Indices) -> np.ndarray:
        live = (indices >= self.first) & (indices < self.total)
        return live & ~np.isin(indices, list(self.unusable))

    def waiting(self, indices: Indices) -> np.ndarray:
        return np.isin(indices, list(self.unusable)) & (indices >= self.first)

    def column(self, name: str, indices: Indices) -> np.ndarray:
        return self.columns[name][indices]

    def add(self, sampler: Sampler, count: int) -> None:
        first, self.total = self.total, self.total + count
        sampler.added(first, count)


def bound(sampler: Sampler, capacity: int, rows: int) -> FakeRows:
    """Bind a sampler to so many rows."""
    fake = FakeRows(capacity)
    assert isinstance(fake, LiveRows)
    assert isinstance(sampler, Sampler)
    sampler.bind(fake)
    fake.add(sampler, rows)
    return fake


def ids(*numbers: int) -> Indices:
    return np.array(numbers, dtype=np.int64)


def goodness_of_fit(counts: np.ndarray, chances: np.ndarray) -> float:
    """Chi-square p-value of counts against probabilities; rows of chance 0 must have none.

    Rows expected fewer than ten times are counted together, or the test would not hold.
    """
    assert counts[chances == 0].sum() == 0
    expected = chances * counts.sum() / chances.sum()
    rare = expected < 10
    observed, believed = counts[~rare], expected[~rare]
    if expected[rare].sum() >= 10:
        observed = np.append(observed, counts[rare].sum())
        believed = np.append(believed, expected[rare].sum())
    believed *= observed.sum() / believed.sum()
    return float(stats.chisquare(observed, believed).pvalue)
