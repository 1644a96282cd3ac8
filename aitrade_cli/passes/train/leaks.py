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
            bar after the last of them became another market. What is learned of the training part
            alone, scale and band, also stayed when every bar after its last label did.
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
    """Change every bar after a last window or label that counts, and look again.

    Three times: after the last window that is learned from or stopped by, after the last label of
    those, and after the last label of the training part alone. The validation part is the future
    of what is learned, too: a scale that was fitted to it is a leak.

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
    refuse_later_fit(bars, plan, parts)
    return LeakCheck(len(parts.training) + len(parts.validation))


def refuse_later_fit(bars: Bars, plan: Plan, parts: FoldExamples) -> None:
    """Change every bar after the last label of the training part.

    Raises:
        FutureLeaks: what the training part alone decides changed.
    """
    horizon = plan.labelling.horizon
    train_stop = parts.validation_start - (horizon + plan.window - 1)
    changed = changed_from(bars, warmup_rows(plan.features) + train_stop + horizon)
    other = examples_of(changed, plan, parts.fold)
    if parts.preprocessing != other.preprocessing or parts.band != other.band:
        raise FutureLeaks(
            "the normalization or the labels' band changes when only bars after the training part"
            " do"
        )
    same = np.array_equal(parts.training.windows, other.training.windows)
    if not same or not np.array_equal(parts.training.classes, other.training.classes):
        raise FutureLeaks("a training window or label changes when only bars after its part do")


def changed_from(bars: Bars, row: int) -> Bars:
    """The same bars up to ``row``, and another market from there on."""
    factor = np.ones(len(bars))
    factor[row:] = 1.1 + 0.4 * np.sin(np.arange(len(bars) - row))
    prices = {name: getattr(bars, name) * factor for name in ("open", "high", "low", "close")}
    return replace(bars, **prices, volume=bars.volume * factor)


def shuffled_labels(
    network: nn.Module, training: Examples, validation: Examples, recipe: Recipe, horizon: int
) -> tuple[float, float]:
    """Train on labels in another order; accuracy on real ones, and what chance may reach.

    Args:
        network: fresh; it is spoiled.
        training: windows, with labels to shuffle.
        validation: later windows with labels of their own.
        recipe: of the run; two epochs of it are enough to see a leak.
        horizon: bars ahead that a label averages.
    """
    shuffled = Examples(training.windows, in_another_order(training.classes, recipe.seed))
    short = replace(recipe, epochs=min(SHUFFLED_EPOCHS, recipe.epochs), early_stop="")
    pursue(network, Labels(shuffled, validation), short)
    said = logits_of(network, validation.windows).argmax(axis=1)
    accuracy = float((said == validation.classes).mean())
    frequent = float(np.bincount(validation.classes).max() / len(validation))
    # Overlapping labels are near copies of each other: one in a horizon counts.
    error = math.sqrt(frequent * (1 - frequent) / max(1, len(validation) // horizon))
    return accuracy, frequent + BEYOND_CHANCE * error


def in_another_order(classes: Int64[np.ndarray, " n"], seed: int) -> Int64[np.ndarray, " n"]:
    return classes[np.random.default_rng(seed).permutation(len(classes))]
