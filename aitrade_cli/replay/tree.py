"""A tree of sums: draws in proportion to a million weights, and changes them, in microseconds.

Sixteen children a node: a node is one or two cache lines, and five levels reach a million
leaves. Leaves are float32, sums float64.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.tree_kernels import (
    FAN_OUT,
    descend,
    draw_strata,
    first_unusable,
    sum_above,
    sum_groups,
    total_of,
)

MOST: Final = float(np.finfo(np.float32).max)
LEAST: Final = float(np.finfo(np.float32).tiny)  # smaller positive weights would lose digits


class UnusableWeight(BadInput):
    """A weight is negative, infinite, too large for float32, or no number."""

    default_hint = "weights and priorities lie between 0 and 3.4e38; pass `abs(td_error)`"

    def __init__(self, value: float, position: int) -> None:
        super().__init__(f"`{value:g}` at position {position} cannot be drawn in proportion to")


class SumTree:
    """Weights by slot, and the slot in which any share of their sum lies.

    Args:
        size: how many slots. All weigh 0 at first.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise BadInput(f"a tree needs at least one slot, got `{size}`")
        self.size = size
        counts = level_sizes(size)
        self._leaves = np.zeros(-(-size // FAN_OUT) * FAN_OUT, dtype=np.float32)
        self._sums = np.zeros(sum(counts), dtype=np.float64)
        self._starts = np.array([0, *np.cumsum(counts)[:-1]], dtype=np.int64)

    @property
    def weights(self) -> Float32[np.ndarray, " slot"]:
        """What each slot weighs; a view for reading."""
        view = self._leaves[: self.size]
        view.flags.writeable = False
        return view

    @property
    def total(self) -> float:
        """The sum of all weights, added up group by group from left to right."""
        return float(total_of(self._sums, self._starts))

    @property
    def bytes(self) -> int:
        return self._leaves.nbytes + self._sums.nbytes

    def assign(self, slots: Int64[np.ndarray, " n"], weights: Float64[np.ndarray, " n"]) -> None:
        """Give slots new weights; of a slot named twice the last one holds.

        A weight is kept in float32. One that is positive stays so, at least 1.2e-38.

        Raises:
            UnusableWeight: a weight is not in [0, 3.4e38]; nothing was changed.
            BadInput: a slot is not there; nothing was changed.
        """
        if not len(slots):
            return
        refuse_unusable(weights)
        if slots.min() < 0 or slots.max() >= self.size:
            raise BadInput(f"slots go from 0 to {self.size - 1}, got `{slots.max()}`")
        kept = weights.astype(np.float32)
        kept[(weights > 0.0) & (weights < LEAST)] = LEAST
        self._leaves[slots] = kept
        sum_above(self._leaves, self._sums, self._starts, slots)

    def fill(self, first: int, count: int, weight: Float32[np.ndarray, " n"] | float) -> None:
        """Give ``count`` slots from ``first`` on one weight, or each its own.

        Raises:
            UnusableWeight: a weight is not in [0, 3.4e38].
            BadInput: a slot is not there.
        """
        if not count:
            return
        if first < 0 or first + count > self.size:
            raise BadInput(f"slots go from 0 to {self.size - 1}, got `{first + count - 1}`")
        refuse_unusable(np.atleast_1d(np.asarray(weight, dtype=np.float64)))
        self._leaves[first : first + count] = weight
        sum_groups(self._leaves, self._sums, self._starts, first, first + count - 1)

    def find(self, targets: Float64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The slots at which the running sum of weights first exceeds each target.

        Never a slot that weighs 0.

        Args:
            targets: in [0, total).

        Raises:
            BadInput: every weight is 0.
        """
        self._refuse_nothing()
        slots = np.empty(len(targets), dtype=np.int64)
        descend(self._leaves, self._sums, self._starts, targets.copy(), slots)
        return slots

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Stratified: one slot from each of ``count`` equal shares of the total.

        Returns:
            Slots, in rising order, and what each weighs.

        Raises:
            BadInput: every weight is 0.
        """
        self._refuse_nothing()
        slots = np.empty(count, dtype=np.int64)
        values = np.empty(count, dtype=np.float64)
        noise = rng.random(count)
        draw_strata(self._leaves, self._sums, self._starts, noise, slots, values)
        return slots, values

    def _refuse_nothing(self) -> None:
        if self.total <= 0.0:
            raise BadInput("nothing can be drawn: every row has the priority `0`")


def refuse_unusable(weights: Float64[np.ndarray, " n"]) -> None:
    """Raises UnusableWeight for the first that is not in [0, 3.4e38]."""
    bad = first_unusable(weights, MOST)
    if bad >= 0:
        raise UnusableWeight(float(weights[bad]), bad)


def level_sizes(size: int) -> list[int]:
    """How many sums each level holds, lowest first, each a multiple of sixteen."""
    counts: list[int] = []
    while not counts or counts[-1] > FAN_OUT:
        size = -(-size // FAN_OUT)
        counts.append(-(-size // FAN_OUT) * FAN_OUT)
    return counts
