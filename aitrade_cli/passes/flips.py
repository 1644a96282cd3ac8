"""How often a candidate decides otherwise than the source, on bars kept for choosing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from aitrade_cli.fidelity.outputs import Runs, outputs_of
from aitrade_cli.model.card import Decision


@dataclass(frozen=True, slots=True)
class Flips:
    """The source's answers on the windows that candidates are chosen on.

    Attributes:
        windows: from before everything the shipped model is judged on.
        decision: how outputs become positions.
        outputs: the source's.
    """

    windows: Float[np.ndarray, "n time feature"]
    decision: Decision
    outputs: Float[np.ndarray, "n out"]

    @classmethod
    def of(
        cls, source: Runs, windows: Float[np.ndarray, "n time feature"], decision: Decision
    ) -> Flips:
        """Ask the source once, one window at a time as a desk does."""
        return cls(windows, decision, outputs_of(source, windows))

    def share(self, candidate: Runs) -> float:
        """Share of windows on which ``candidate`` is to be expected to decide otherwise, 0..1.

        The larger of two estimates: what was counted, and what is expected where any of
        the errors seen may meet any of the margins seen. A few hundred windows hold a
        handful of flips, so the count alone would choose by luck. An output that is not
        finite counts as a flip.
        """
        outputs = outputs_of(candidate, self.windows)
        sound = np.asarray(np.isfinite(outputs).all(axis=1))
        outputs = np.where(sound[:, None], outputs, 0.0).astype(np.float32)
        other = self.decision.positions_of(outputs) != self.decision.positions_of(self.outputs)
        counted = float((other | ~sound).mean())
        return max(counted, expected_flips(self.decision, self.outputs[sound], outputs[sound]))


def expected_flips(
    decision: Decision, before: Float[np.ndarray, "n out"], after: Float[np.ndarray, "n out"]
) -> float:
    r"""Chance that an error is larger than the margin it meets, the two drawn apart.

    With margins $m_j$ of the source and changes $d_i$ of the margin,
    $\frac{1}{n^2} \sum_{i,j} [m_j + d_i < 0]$.

    Args:
        decision: the rule whose margins count.
        before: the source's outputs.
        after: the candidate's, finite.

    Returns:
        0..1; 0 where there is no row.
    """
    if not len(before):
        return 0.0
    margin = np.sort(decision.margin_of(before))
    change = change_of_margin(decision, before, after)
    return float(np.searchsorted(margin, -change, side="left").mean() / len(margin))


def change_of_margin(
    decision: Decision, before: Float[np.ndarray, "n out"], after: Float[np.ndarray, "n out"]
) -> Float64[np.ndarray, " n"]:
    """How much nearer (< 0) the other decision came, on each row."""
    if decision.kind == "threshold":
        return -np.abs(after[:, 0].astype(np.float64) - before[:, 0])
    order = np.argsort(before, axis=1)[:, -2:]
    first, second = order[:, 1:], order[:, :1]
    old = np.take_along_axis(before, first, 1) - np.take_along_axis(before, second, 1)
    new = np.take_along_axis(after, first, 1) - np.take_along_axis(after, second, 1)
    return (new.astype(np.float64) - old)[:, 0]
