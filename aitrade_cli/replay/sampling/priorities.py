"""Rows drawn in proportion to how much was learned from them last."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, Float64

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Indices, LiveRows, State
from aitrade_cli.replay.sampling.importance import Annealing, importance_weights
from aitrade_cli.replay.sampling.live import LiveSlots
from aitrade_cli.replay.sampling.tree import SumTree


class Proportional:
    """Row i is drawn in proportion to p_i^alpha, its priority's power, stratified over the batch.

    New rows get the largest priority seen so far. A row of priority 0 is not drawn again
    while ``epsilon`` is 0. Priorities are kept in float32.

    Args:
        alpha: 0 draws uniformly, 1 in proportion to the priority itself.
        annealing: of the exponent of the importance weights, which are taken over the
            largest of the batch.
        epsilon: added to every priority, so that no row is lost for ever.

    Source:
        Schaul et al. 2016, section 3.3, the proportional variant.
        https://arxiv.org/abs/1511.05952
    """

    name = "proportional"

    def __init__(
        self,
        alpha: float = 0.6,
        annealing: Annealing | None = None,
        *,
        epsilon: float = 1e-6,
    ) -> None:
        if not 0.0 <= alpha <= 2.0:
            raise BadInput(f"alpha lies in [0, 2], got `{alpha}`")
        if not 0.0 <= epsilon < 1.0:
            raise BadInput(f"epsilon lies in [0, 1), got `{epsilon}`")
        self.alpha = alpha
        self.annealing = annealing or Annealing()
        self.epsilon = epsilon
        self.largest = 1.0  # priority seen so far, epsilon included: what new rows get
        self.draws = 0
        self.stale = 0  # updates that came after their row had gone
        self._live: LiveSlots | None = None
        self._tree = SumTree(1)

    @property
    def bytes(self) -> int:
        """Memory that the priorities take."""
        return self._tree.bytes

    def bind(self, rows: LiveRows) -> None:
        self._live = LiveSlots(rows)
        self._tree = SumTree(rows.capacity)

    def added(self, first: int, count: int) -> None:
        """Only noted here, so that adding one row costs next to nothing."""
        self._bound.added(first, count)

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float32[np.ndarray, " n"]]:
        """One row from each of ``count`` equal shares of the sum, in order of their slots.

        Raises:
            BadInput: there is no row of a positive priority.
        """
        rows, chances = self.draw_chances(rng, count)
        return rows, self.weigh(chances)

    def draw_chances(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float64[np.ndarray, " n"]]:
        """The same with what each row weighs in the tree."""
        self._take_up()
        return self._tree.draw_rows(rng, count, self._bound.total - 1)

    def weigh(self, chances: Float64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """Importance weights of a batch, and one step of the annealing."""
        weights = importance_weights(chances, self.annealing.at(self.draws))
        self.draws += 1
        return weights

    def update(self, indices: Indices, priorities: np.ndarray) -> None:
        """New priorities, for example ``abs(td_error)``; of a row named twice the last holds.

        A row that cannot be drawn, such as one that only holds a last state, gets none.

        Raises:
            UnusableWeight: one is negative, too large or no number; nothing was changed.
        """
        self._take_up()
        live = self._bound
        given = np.asarray(priorities, dtype=np.float64).reshape(len(indices))
        rule = (self.alpha, self.epsilon)
        here = live.rows.sampleable(indices)
        gone, largest = self._tree.update_rows(indices, given, rule, (live.first, live.total), here)
        self.stale += gone
        self.largest = max(self.largest, largest)

    def probabilities(self, indices: Indices) -> Float64[np.ndarray, " n"]:
        """How likely each row is with every single draw; 0 for stale ones."""
        self._take_up()
        weights = self._tree.weights[self._bound.slots_of(indices)].astype(np.float64)
        return np.where(self._bound.live(indices), weights, 0.0) / self._tree.total

    def state(self) -> State:
        self._take_up()
        kept = self._bound.kept()
        return {
            "weights": self._tree.weights[self._bound.slots_of(kept)],
            "rows": np.array([self._bound.first, self._bound.total], dtype=np.int64),
            "settings": np.array([self.alpha, self.largest]),
            "counts": np.array([self.draws, self.stale], dtype=np.int64),
        }

    def restore(self, state: State) -> None:
        """Take up priorities kept earlier, also under another alpha or capacity."""
        live = self._bound
        first, total = (int(value) for value in state["rows"])
        alpha, self.largest = (float(value) for value in state["settings"])
        self.draws, self.stale = (int(value) for value in state["counts"])
        weights = state["weights"].astype(np.float64)
        if alpha != self.alpha and alpha > 0.0:
            weights = np.where(weights > 0.0, weights ** (self.alpha / alpha), 0.0)
        kept = np.arange(max(first, total - live.capacity), total, dtype=np.int64)
        weights = weights[len(weights) - len(kept) :]
        self._tree = SumTree(live.capacity)
        self._tree.assign(live.slots_of(kept), weights * live.rows.sampleable(kept))
        live.restore(first, total)

    def _take_up(self) -> None:
        """Give what came since the last draw its weight, and what went none."""
        live = self._bound
        if live.settled:
            return
        for first, count in live.gone():
            self._tree.fill(first, count, 0.0)
        fresh = self.largest**self.alpha
        for first, rows, usable in live.came():
            self._tree.fill(first, len(rows), np.where(usable, np.float32(fresh), np.float32(0.0)))
        whole = live.became_whole()
        self._tree.assign(live.slots_of(whole), np.full(len(whole), fresh))
        live.settle()

    @property
    def _bound(self) -> LiveSlots:
        if self._live is None:
            raise BadInput("this sampler was not given to a store")
        return self._live
