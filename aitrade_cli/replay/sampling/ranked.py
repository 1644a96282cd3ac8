"""Rows drawn by their place in the order of priorities."""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32, Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Indices, LiveRows, State
from aitrade_cli.replay.sampling.importance import Annealing, importance_weights
from aitrade_cli.replay.sampling.live import LiveSlots
from aitrade_cli.replay.sampling.tree import SumTree, refuse_unusable

TRIES: Final = 8  # at rows that have gone since the last sort, before they are left to the store
LOW: Final = np.int64(0xFFFF_FFFF)


class RankBased:
    """Row i is drawn with a probability in proportion to rank(i)^-alpha, stratified.

    Ranks count from 1 for the largest priority; of equals the newer comes first. Rows that
    came since the last sort stand before all others, newest first. A row whose priority
    changed keeps its place until the next sort, and its importance weight is that of the
    place it was drawn from, so what is learned stays unbiased.

    Args:
        alpha: how steeply the chance falls with the rank; 0 draws uniformly.
        annealing: of the exponent of the importance weights.
        resort_share: sort when so many rows changed, came or went, as a share of all;
            0 sorts before every draw that follows a change.

    Source:
        Schaul et al. 2016, section 3.3, the rank-based variant.
        https://arxiv.org/abs/1511.05952
    """

    name = "rank"

    def __init__(
        self,
        alpha: float = 0.7,
        annealing: Annealing | None = None,
        *,
        resort_share: float = 0.05,
    ) -> None:
        if not 0.0 <= alpha <= 2.0:
            raise BadInput(f"alpha lies in [0, 2], got `{alpha}`")
        if not 0.0 <= resort_share <= 1.0:
            raise BadInput(f"the share of changes lies in [0, 1], got `{resort_share}`")
        self.alpha = alpha
        self.annealing = annealing or Annealing()
        self.resort_share = resort_share
        self.draws = 0
        self.stale = 0
        self.sorts = 0
        self._live: LiveSlots | None = None
        self._priorities = np.zeros(0, dtype=np.float32)
        self._largest = 1.0
        self._order = np.zeros(0, dtype=np.int64)  # rows by falling priority at the last sort
        self._sorted_total = 0  # rows from here on came since
        self._changes = 0
        self._ranks = SumTree(1)  # leaf r weighs (r + 1)^-alpha, as far as there are rows
        self._reach = 0

    def bind(self, rows: LiveRows) -> None:
        self._live = LiveSlots(rows)
        self._priorities = np.zeros(rows.capacity, dtype=np.float32)
        # Between sorts the places of rows that went stay in the order.
        self._ranks = SumTree(2 * rows.capacity)
        self._order, self._reach = np.zeros(0, dtype=np.int64), 0

    def added(self, first: int, count: int) -> None:
        self._bound.added(first, count)

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float32[np.ndarray, " n"]]:
        """One row from each of ``count`` equal shares, in order of rank.

        Raises:
            BadInput: there is no row.
        """
        indices, chances = self.draw_chances(rng, count)
        return indices, self.weigh(chances)

    def draw_chances(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float64[np.ndarray, " n"]]:
        """The same with what the place of each row weighs."""
        self._take_up()
        places, chances = self._ranks.draw(rng, count)
        indices = self._at(places)
        for _ in range(TRIES):
            gone = ~self._bound.live(indices)
            if not gone.any():
                break
            places, again = self._ranks.draw(rng, int(gone.sum()))
            indices[gone], chances[gone] = self._at(places), again
        return indices, chances

    def weigh(self, chances: Float64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """Importance weights of a batch, and one step of the annealing."""
        weights = importance_weights(chances, self.annealing.at(self.draws))
        self.draws += 1
        return weights

    def update(self, indices: Indices, priorities: np.ndarray) -> None:
        """New priorities; of a row named twice the last holds. A row that cannot be drawn
        gets none.

        Raises:
            UnusableWeight: one is negative, infinite or no number; nothing was changed.
        """
        self._take_up()
        given = np.asarray(priorities, dtype=np.float64).reshape(len(indices))
        refuse_unusable(given)
        self.stale += int(np.count_nonzero(~self._bound.live(indices)))
        here = self._bound.rows.sampleable(indices)
        self._priorities[self._bound.slots_of(indices[here])] = given[here]
        self._largest = max(self._largest, float(given[here].max(initial=0.0)))
        self._changes += int(here.sum())

    def probabilities(self) -> tuple[Indices, Float64[np.ndarray, " n"]]:
        """Every row that can be drawn, by rank, and how likely each is with a single draw."""
        self._take_up()
        indices = self._at(np.arange(self._reach, dtype=np.int64))
        chances = self._ranks.weights[: self._reach].astype(np.float64)
        live = self._bound.live(indices)
        return indices[live], chances[live] / chances[live].sum()

    def state(self) -> State:
        self._take_up()
        kept = self._bound.kept()
        return {
            "priorities": self._priorities[self._bound.slots_of(kept)],
            "rows": np.array([self._bound.first, self._bound.total], dtype=np.int64),
            "largest": np.array([self._largest]),
            "counts": np.array([self.draws, self.stale, self.sorts], dtype=np.int64),
        }

    def restore(self, state: State) -> None:
        live = self._bound
        first, total = (int(value) for value in state["rows"])
        self._largest = float(state["largest"][0])
        self.draws, self.stale, self.sorts = (int(value) for value in state["counts"])
        kept = np.arange(max(first, total - live.capacity), total, dtype=np.int64)
        given = state["priorities"]
        self._priorities[live.slots_of(kept)] = given[len(given) - len(kept) :]
        live.restore(first, total)
        self._order = np.zeros(0, dtype=np.int64)
        self._sorted_total, self._changes = total, live.capacity + 1  # sort before the next draw

    def _at(self, places: Int64[np.ndarray, " n"]) -> Indices:
        """The rows at those places of the order; the newest, unsorted ones come first."""
        fresh = self._bound.total - self._sorted_total
        newest = self._bound.total - 1
        if not len(self._order):
            return newest - places
        return np.where(places < fresh, newest - places, self._order[places - fresh])

    def _take_up(self) -> None:
        live = self._bound
        if not live.settled:
            went = sum(count for _, count in live.gone())
            for first, rows, _ in live.came():
                self._priorities[first : first + len(rows)] = self._largest
                self._changes += 2 * len(rows) if live.total >= live.capacity else len(rows)
            self._changes += went
            live.became_whole()  # forgets those that did: the next sort finds them
            live.settle()
        held = live.total - live.first
        if self._changes > self.resort_share * held or not len(self._order):
            self._sort()
        self._stretch(len(self._order) + live.total - self._sorted_total)

    def _sort(self) -> None:
        live = self._bound
        usable = live.usable()
        bits = self._priorities[live.slots_of(usable)].view(np.int32).astype(np.int64)
        # One whole number a row: larger priority first, then newer; sorting those is the
        # fastest order NumPy has, and equals fall the same way on every machine.
        newest = live.total - 1
        keys = ((LOW - bits) << np.int64(32)) | (newest - usable)
        keys.sort()
        self._order = newest - (keys & LOW)
        self._sorted_total, self._changes = live.total, 0
        self.sorts += 1

    def _stretch(self, reach: int) -> None:
        """Let as many places be drawn as there are rows."""
        if reach > self._reach:
            places = np.arange(self._reach + 1, reach + 1, dtype=np.float64)
            self._ranks.fill(self._reach, len(places), (places**-self.alpha).astype(np.float32))
        elif reach < self._reach:
            self._ranks.fill(reach, self._reach - reach, 0.0)
        self._reach = reach

    @property
    def _bound(self) -> LiveSlots:
        if self._live is None:
            raise BadInput("this sampler was not given to a store")
        return self._live
