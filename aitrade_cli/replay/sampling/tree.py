"""A tree of sums: draws in proportion to a million weights, and changes them, in microseconds.

Sixteen children a node: a node is one or two cache lines, and five levels reach a million
leaves. Leaves are float32, sums float64.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.sampling.tree_kernels import (
    FAN_OUT,
    descend,
    draw_rows,
    draw_strata,
    first_unusable,
    sum_above,
    sum_groups,
    total_of,
    update_rows,
)

MOST: Final = float(np.finfo(np.float32).max)
LARGE_PAGE: Final = 1 << 21
LEAST: Final = float(np.finfo(np.float32).tiny)  # smaller positive weights would lose digits


class UnusableWeight(BadInput):
    """A weight is negative, infinite, too large for float32, or no number."""

    default_hint = "weights and priorities lie between 0 and 3.4e38; pass `abs(td_error)`"

    def __init__(self, value: float, position: int) -> None:
        super().__init__(f"`{value:g}` at position {position} cannot be drawn in proportion to")


class NothingWeighs(BadInput):
    """No slot has a weight above 0."""

    default_hint = "give a row a priority above 0, or the sampler an epsilon"

    def __init__(self) -> None:
        super().__init__("nothing can be drawn: every row has the priority `0`")


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
        leaf_bytes = 4 * FAN_OUT * -(-size // FAN_OUT)
        room = zeros_on_large_pages(leaf_bytes + 8 * sum(counts))
        self._leaves = room[:leaf_bytes].view(np.float32)
        self._sums = room[leaf_bytes:].view(np.float64)
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
            NothingWeighs: every weight is 0.
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
            NothingWeighs: every weight is 0.
        """
        noise, slots = rng.random(count), np.empty(count, dtype=np.int64)
        self._refuse_nothing()
        draw_strata(self._leaves, self._sums, self._starts, noise, slots)
        return slots, noise

    def draw_rows(
        self, rng: np.random.Generator, count: int, newest: int
    ) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """The same where the slots are a ring and row ``newest`` was the last to come.

        Returns:
            Numbers of rows, and what each weighs.

        Raises:
            NothingWeighs: every weight is 0.
        """
        noise, rows = rng.random(count), np.empty(count, dtype=np.int64)
        total = draw_rows(self._leaves, self._sums, self._starts, noise, rows, newest, self.size)
        if total <= 0.0:
            raise NothingWeighs
        return rows, noise

    def update_rows(
        self,
        rows: Int64[np.ndarray, " n"],
        priorities: Float64[np.ndarray, " n"],
        rule: tuple[float, float],
        live: tuple[int, int],
        usable: Bool[np.ndarray, " n"],
    ) -> tuple[int, float]:
        """Give rows of a ring new priorities; of a row named twice the last one holds.

        Args:
            rows: numbers of rows.
            priorities: not negative.
            rule: alpha and epsilon: a row weighs (priority + epsilon) to the power of alpha.
            live: the first row that is there and one past the last; others are left out.
            usable: whether each of the rows can be drawn; those that cannot weigh nothing.

        Returns:
            How many were left out, and the largest priority, epsilon included.

        Raises:
            UnusableWeight: a priority is negative or its weight not below 3.4e38; nothing
                was changed.
        """
        bad, gone, largest = update_rows(
            self._leaves,
            self._sums,
            self._starts,
            rows,
            priorities,
            (*rule, LEAST, MOST),
            (*live, self.size),
            usable,
        )
        if bad >= 0:
            raise UnusableWeight(float(priorities[bad]), bad)
        return gone, largest

    def _refuse_nothing(self) -> None:
        if self.total <= 0.0:
            raise NothingWeighs


def refuse_unusable(weights: Float64[np.ndarray, " n"]) -> None:
    """Raises UnusableWeight for the first that is not in [0, 3.4e38]."""
    bad = first_unusable(weights, MOST)
    if bad >= 0:
        raise UnusableWeight(float(weights[bad]), bad)


def zeros_on_large_pages(count: int) -> UInt8[np.ndarray, " byte"]:
    """So many zero bytes, on 2 MiB pages where the system gives them.

    A draw reads a thousand places all over the tree. On small pages looking up where
    each page lies takes as long as the reading.
    """
    if count < LARGE_PAGE // 2:
        return np.zeros(count, dtype=np.uint8)
    # NumPy asks for large pages from 4 MiB on; what is not touched takes no memory.
    room = np.zeros(max(count, 2 * LARGE_PAGE) + LARGE_PAGE, dtype=np.uint8)
    start = -room.ctypes.data % LARGE_PAGE
    return room[start : start + count]


def level_sizes(size: int) -> list[int]:
    """How many sums each level holds, lowest first, each a multiple of sixteen."""
    counts: list[int] = []
    while not counts or counts[-1] > FAN_OUT:
        size = -(-size // FAN_OUT)
        counts.append(-(-size // FAN_OUT) * FAN_OUT)
    return counts
