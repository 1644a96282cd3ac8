"""Teacher, student and the student without a teacher, on bars that none of them learned from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

import numpy as np
from jaxtyping import Float32, Float64, Int64

from aitrade_cli.fidelity.bootstrap import mean_block_length, stationary_rows

RESAMPLES: Final = 1_000
FEWEST: Final = 64  # windows; fewer say nothing about an interval

Verdict = Literal["lower", "higher", "not distinguishable", "not run"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One model on the evaluation bars.

    Attributes:
        name: ``teacher``, ``student`` or ``student alone``.
        parameters: numbers it stores as weights.
        windows: that it was judged on, each with a label.
        loss_nats: mean cross-entropy with the labels; chance among three is 1.0986.
        accuracy: share of labels named rightly, 0..1.
        agreement: share of windows with the teacher's class, 0..1.

    The last three are None where there was no window to judge on.
    """

    name: str
    parameters: int
    windows: int
    loss_nats: float | None
    accuracy: float | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class LossDifference:
    """Held-out loss of ``name`` minus that of ``other``, on the same windows.

    Attributes:
        nats: below 0 where ``name`` is better.
        low: lower end of the 95 % interval of a paired stationary bootstrap.
        high: its upper end.
        block: mean length of the blocks that were drawn, windows.
    """

    name: str
    other: str
    nats: float
    low: float
    high: float
    block: float

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("verdict",)

    @property
    def verdict(self) -> Verdict:
        """Lower or higher only where the whole interval is."""
        if not np.isfinite([self.low, self.high]).all():
            return "not run"
        if self.high < 0:
            return "lower"
        return "higher" if self.low > 0 else "not distinguishable"


def held_out_of(
    name: str,
    parameters: int,
    logits: Float32[np.ndarray, "n klass"],
    classes: Int64[np.ndarray, " n"],
    teacher: Float32[np.ndarray, "n klass"],
) -> HeldOut:
    """Figures of one model; none where there is no window, as a mean of nothing is no figure."""
    if not len(classes):
        return HeldOut(name, parameters, 0, None, None, None)
    told = logits.argmax(axis=1)
    return HeldOut(
        name=name,
        parameters=parameters,
        windows=len(classes),
        loss_nats=float(losses_of(logits, classes).mean()),
        accuracy=float((told == classes).mean()),
        agreement=float((told == teacher.argmax(axis=1)).mean()),
    )


def losses_of(
    logits: Float32[np.ndarray, "n klass"], classes: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    """Cross-entropy of each window, nats."""
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    norm = np.log(np.exp(wide).sum(axis=1))
    return norm - wide[np.arange(len(classes)), classes]


def difference(
    pair: tuple[str, str],
    logits: Mapping[str, Float32[np.ndarray, "n klass"]],
    classes: Int64[np.ndarray, " n"],
    *,
    seed: int,
) -> LossDifference | None:
    """Compare two models window by window; None where there are too few windows.

    Neighbouring windows share bars and labels, so blocks of them are drawn together.
    """
    if len(classes) < FEWEST:
        return None
    name, other = pair
    apart = losses_of(logits[name], classes) - losses_of(logits[other], classes)
    block = mean_block_length(apart)
    rows = stationary_rows(len(apart), mean_block=block, resamples=RESAMPLES, seed=seed)
    means = np.concatenate([apart[drawn].mean(axis=1) for drawn in rows])
    low, high = np.quantile(means, [0.025, 0.975])
    return LossDifference(name, other, float(apart.mean()), float(low), float(high), float(block))
