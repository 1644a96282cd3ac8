"""Every live row is as likely as any other."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from aitrade_cli.replay.interfaces import Indices, LiveRows, State


class Uniform:
    """Draws with replacement; needs no memory and no news."""

    name = "uniform"

    def __init__(self) -> None:
        self.rows: LiveRows | None = None

    def bind(self, rows: LiveRows) -> None:
        self.rows = rows

    def added(self, first: int, count: int) -> None:
        """Nothing to keep."""

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float32[np.ndarray, " n"] | None]:
        rows = self.rows
        if rows is None:
            raise RuntimeError("the sampler was never bound to a store")
        total, first = rows.total, rows.first
        # Twice as fast as integers; the bias is below a part in 2^53 / rows.
        places = rng.random(count)
        places *= total - first
        drawn = places.astype(np.int64)
        drawn += first
        return drawn, None

    def update(self, indices: Indices, priorities: np.ndarray) -> None:
        """Uniform draws have no priorities."""

    def state(self) -> State:
        return {}

    def restore(self, state: State) -> None:
        """Nothing was kept."""
