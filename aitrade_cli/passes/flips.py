"""How often a candidate decides otherwise than the source, on bars kept for choosing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from aitrade_cli.fidelity.outputs import Runs, outputs_of
from aitrade_cli.model.card import Decision


@dataclass(frozen=True, slots=True)
class Flips:
    """The source's decisions on the windows that candidates are chosen on.

    Attributes:
        windows: from before everything the shipped model is judged on.
        decision: how outputs become positions.
        positions: the source's.
    """

    windows: Float[np.ndarray, "n time feature"]
    decision: Decision
    positions: Float[np.ndarray, " n"]

    @classmethod
    def of(
        cls, source: Runs, windows: Float[np.ndarray, "n time feature"], decision: Decision
    ) -> Flips:
        """Ask the source once, one window at a time as a desk does."""
        return cls(windows, decision, decision.positions_of(outputs_of(source, windows)))

    def share(self, candidate: Runs) -> float:
        """Share of windows on which ``candidate`` takes another position, 0..1.

        An output that is not finite counts as a flip.
        """
        outputs = outputs_of(candidate, self.windows)
        sound = np.isfinite(outputs).all(axis=1)
        positions = self.decision.positions_of(np.nan_to_num(outputs))
        return float(((positions != self.positions) | ~sound).mean())
