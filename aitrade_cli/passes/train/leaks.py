"""Proof that nothing of the future is learned from: another future, and labels that say nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Int64
from torch import nn

from aitrade_cli.errors import Refused
from aitrade_cli.market.bars import Bars
from aitrade_cli.market.features import warmup_rows
from aitrade_cli.training.loop import Examples, Labels, logits_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import pursue
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of

SHUFFLED_EPOCHS: Final = 2
BEYOND_CHANCE: Final = 4.0  # standard errors


class FutureLeaks(Refused):
    """What is learned from changes with bars that come after it."""

    default_hint = "a feature looks ahead: leave it out of `split.features`"


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """What was proven.

    Attributes:
        windows: training and validation windows that stayed the same, byte by byte, when every
            bar after the last of them became another market.
        shuffled_accuracy: on real validation labels, after training on shuffled ones.
        chance: accuracy of the most frequent class, four standard errors on top.
    """

    windows: int
    shuffled_accuracy: float | None = None
    chance: float | None = None

    @property
    def edge(self) -> bool:
        """Whether shuffled labels gave one, which is impossible without a leak."""
        return (
            self.shuffled_accuracy is not None
            and self.chance is not None
            and self.shuffled_accuracy > self.chance
        )


def another_future(bars: Bars, plan: Plan, parts: FoldExamples) -> LeakCheck:
    """Change every bar after the last window, then after the last label, and look again.

    Raises:
        FutureLeaks: something that is learned changed.
    """
    last = warmup_rows(plan.features) + parts.fold.train_stop
    windows = examples_of(changed_from(bars, last), plan, parts.fold)
    labels = examples_of(changed_from(bars, last + plan.labelling.horizon), plan, parts.fold)
    for name in ("training", "validation"):
        own: Examples = getattr(parts, name)
        for what, other in (("window", windows), ("label", labels)):
            seen: Examples = getattr(other, name)
            same = np.array_equal(own.windows, seen.windows)
            if what == "label":
                same = same and np.array_equal(own.classes, seen.classes)
            if not same:
                raise FutureLeaks(f"a {name} {what} changes when only later bars do")
    if parts.preprocessing != labels.preprocessing or parts.band != labels.band:
        raise FutureLeaks("the normalization or the labels' band changes when only later bars do")
    return LeakCheck(len(parts.training) + len(parts.validation))


def changed_from(bars: Bars, row: int) -> Bars:
    """The same bars up to ``row``, and another market from there on."""
    factor = np.ones(len(bars))
    factor[row:] = 1.1 + 0.4 * np.sin(np.arange(len(bars) - row))
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices, volume=bars.volume * factor)


def shuffled_labels(
    network: nn.Module, training: Examples, validation: Examples, recipe: Recipe
) -> tuple[float, float]:
    """Train on labels in another order; accuracy on real ones, and what chance may reach.

    Args:
        network: fresh; it is spoiled.
        training: windows, with labels to shuffle.
        validation: later windows with labels of their own.
        recipe: of the run; two epochs of it are enough to see a leak.
    """
    shuffled = Examples(training.windows, in_another_order(training.classes, recipe.seed))
    short = replace(recipe, epochs=min(SHUFFLED_EPOCHS, recipe.epochs), early_stop="")
    pursue(network, Labels(shuffled, validation), short)
    said = logits_of(network, validation.windows).argmax(axis=1)
    accuracy = float((said == validation.classes).mean())
    frequent = float(np.bincount(validation.classes).max() / len(validation))
    # Overlapping labels are near copies of each other: one in a horizon counts.
    error = math.sqrt(frequent * (1 - frequent) / max(1, len(validation) // 12))
    return accuracy, frequent + BEYOND_CHANCE * error


def in_another_order(classes: Int64[np.ndarray, " n"], seed: int) -> Int64[np.ndarray, " n"]:
    return classes[np.random.default_rng(seed).permutation(len(classes))]
