"""Importance weights of prioritised draws, and how their exponent rises."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64

from aitrade_cli.errors import BadInput


@dataclass(frozen=True, slots=True)
class Annealing:
    """The exponent β: from ``start`` to ``end`` in a straight line over ``draws`` batches.

    Source:
        Schaul et al. 2016, section 3.4. https://arxiv.org/abs/1511.05952
    """

    start: float = 0.4
    end: float = 1.0
    draws: int = 100_000

    def __post_init__(self) -> None:
        for name, value in (("start", self.start), ("end", self.end)):
            if not 0.0 <= value <= 1.0:
                raise BadInput(f"the {name} of beta lies in [0, 1], got `{value}`")
        if self.draws < 1:
            raise BadInput(f"beta is annealed over at least one draw, got `{self.draws}`")

    def at(self, draw: int) -> float:
        """β for the batch of that number, counted from 0."""
        done = min(draw / self.draws, 1.0)
        return self.start + done * (self.end - self.start)


def importance_weights(
    chances: Float64[np.ndarray, " n"], beta: float
) -> Float32[np.ndarray, " n"]:
    """Weights (N·P)^-β over the largest of the batch, so in (0, 1].

    N and the sum that turns a weight into a probability cancel, which is why neither is
    asked for and why nothing overflows.

    Args:
        chances: what each row was drawn in proportion to, all positive.
        beta: 0 for no correction, 1 for the whole.

    Source:
        Schaul et al. 2016, algorithm 1, line 10. https://arxiv.org/abs/1511.05952
    """
    weights = np.empty(len(chances), dtype=np.float32)
    ratios = np.minimum.reduce(chances) / chances
    return np.power(ratios, beta, out=weights, casting="same_kind")
