"""The dense parent teaches what pruning left of it, on bars that come before the judged ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float32
from torch import nn

from aitrade_cli.model.card import Card
from aitrade_cli.passes.prune.settings import Settings
from aitrade_cli.training.distillation import Lessons, lessons_of, recover
from aitrade_cli.training.material import Material, material_of
from aitrade_cli.training.run import NO_HOOKS, Epoch, Hooks, Recipe

Say = Callable[[str], None]

LEARNING_RATE: Final = 1e-3
PATIENCE: Final = 4


@dataclass(frozen=True, slots=True, eq=False)
class Tutor:
    """What the dense parent answers, and the examples it was asked about."""

    lessons: Lessons
    material: Material
    recipe: Recipe

    @property
    def note(self) -> str:
        """Which bars, in a sentence."""
        return self.material.note

    @property
    def watching(self) -> Float32[np.ndarray, "n time feature"]:
        """Windows that decide when to stop; none of them is trained on or judged."""
        return self.material.validation.windows

    def teach(self, network: nn.Module, epochs: int, say: Say, hooks: Hooks = NO_HOOKS) -> int:
        """Train ``network`` in place towards the teacher; the number of passes made."""

        def tell(epoch: Epoch) -> None:
            say(f"training, pass {epoch.number} of {epochs}: off by {epoch.validation_loss:.4f}")

        recipe = replace(self.recipe, epochs=epochs)
        run = recover(network, self.lessons, self.material, recipe, on_epoch=tell, hooks=hooks)
        return len(run.epochs)


def tutor_of(card: Card, network: nn.Module, settings: Settings) -> Tutor:
    """The parent as teacher, asked once about every window that it was itself trained on.

    Raises:
        NoTrainingBars: there are no bars to train on.
        NotTrainable: the artefact does not say how bars become windows.
    """
    material = material_of(card, settings.data, settings.symbol)
    material = material.thinned(len(material.training) // material.stride)
    recipe = Recipe(
        learning_rate=LEARNING_RATE, weight_decay=0.0, patience=PATIENCE, seed=settings.seed
    )
    return Tutor(lessons_of(network, material), material, recipe)
