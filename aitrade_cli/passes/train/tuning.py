"""LoRA and HOGWILD in a run of `aitrade train`: proven before, folded in or told after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from aitrade_cli.errors import Usage
from aitrade_cli.training.build import Build
from aitrade_cli.training.goal import Fit
from aitrade_cli.training.hogwild import HogwildFit, HogwildSettings, run_wild
from aitrade_cli.training.hogwild_objectives import SharedLabels
from aitrade_cli.training.legality import features_of, refuse_illegal
from aitrade_cli.training.loading import SharedWindows
from aitrade_cli.training.loop import Labels, logits_of
from aitrade_cli.training.lora import Adapted, LoraSettings, adapt
from aitrade_cli.training.lora_proof import CLOSE, AdaptersDoNotWork, LoraProof, prove
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Epoch
from aitrade_cli.training.schedules import SCHEDULES
from aitrade_cli.units import bytes_text, share_text

PROOF_WINDOWS: Final = 16


@dataclass(frozen=True, slots=True)
class Tuned:
    """What adapters came to.

    Attributes:
        settings: as asked for.
        trained: numbers in all adapters, of ``total`` in the network.
        optimizer_bytes: of the adapters' moments; ``optimizer_bytes_full``: of all weights'.
        proof: before the training.
        merged: largest difference that folding them in made to an answer, over its scale.
    """

    settings: str
    trained: int
    total: int
    optimizer_bytes: int
    optimizer_bytes_full: int
    proof: LoraProof
    merged: float

    @property
    def note(self) -> str:
        """For the report."""
        modes = "untested" if self.proof.modes is None else f"{self.proof.modes:.1g}"
        return (
            f"LoRA {self.settings}: {self.trained:,} of {self.total:,} parameters trained"
            f" ({share_text(self.trained / self.total)}), optimizer state"
            f" {bytes_text(self.optimizer_bytes)} instead of"
            f" {bytes_text(self.optimizer_bytes_full)}; proven: all {self.proof.adapters} adapters"
            f" learn, evaluation equals training within {modes}, folding in changed answers by"
            f" {self.merged:.1g}"
        )

    def as_data(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class Adapters:
    """The stage of a build that puts adapters in, and takes them out after the run."""

    settings: LoraSettings
    seed: int
    adapted: Adapted | None = field(default=None, repr=False)
    proof: LoraProof | None = None

    def build(self) -> Build:
        return Build(adapt=self.put_in, features=frozenset({"lora"}))

    def put_in(self, network: nn.Module) -> None:
        self.adapted = adapt(network, self.settings, seed=self.seed)

    def prove(self, network: nn.Module, windows: np.ndarray) -> None:
        """On a copy, with windows of the training part spread over all of it.

        Raises:
            AdaptersDoNotWork: a promise does not hold.
        """
        device = next(network.parameters()).device
        picked = torch.from_numpy(spread(windows)).to(device)
        self.proof = prove(network, self.settings, picked, seed=self.seed)

    def fold_in(self, network: nn.Module, windows: np.ndarray) -> Tuned:
        """Merge, and look whether the answers stayed.

        Raises:
            AdaptersDoNotWork: they did not.
        """
        assert self.adapted is not None and self.proof is not None  # noqa: PT018 -- both or none
        picked = spread(windows)
        before = logits_of(network, picked)
        self.adapted.merge()
        after = logits_of(network, picked)
        merged = float(np.abs(before - after).max() / max(1.0, float(np.abs(before).max())))
        if not merged <= CLOSE:
            raise AdaptersDoNotWork(f"folding the adapters in changed answers by `{merged:.2g}`")
        part, whole = self.adapted.optimizer_bytes
        return Tuned(
            str(self.settings),
            self.adapted.trained,
            self.adapted.total,
            part,
            whole,
            self.proof,
            merged,
        )


def spread(windows: np.ndarray) -> np.ndarray:
    """A few windows, evenly over all."""
    places = np.linspace(0, len(windows) - 1, min(PROOF_WINDOWS, len(windows))).astype(int)
    return np.ascontiguousarray(windows[places], dtype=np.float32)


def refuse_without_base(lora: LoraSettings | None, base: str | None) -> None:
    """Adapters tune what was learned before; beside fresh weights they would learn little.

    Raises:
        Usage: there is no base.
    """
    if lora is not None and base is None:
        raise Usage(
            "`--lora` tunes a model that was trained before", hint="name it: `--base model.pt`"
        )


@dataclass(frozen=True, slots=True)
class Curve:
    """The recipe's schedule by the share of all updates; it can be sent to a process."""

    recipe: Recipe
    steps: int

    def __call__(self, share: float) -> float:
        return SCHEDULES[self.recipe.schedule](self.steps, self.recipe)(int(share * self.steps))


def train_wild(
    network: nn.Module,
    objective: Labels,
    recipe: Recipe,
    workers: int,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[Fit, HogwildFit]:
    """The recipe by processes that do not wait for each other, with plain gradient descent.

    Raises:
        NotTogether: the recipe has something that they cannot share.
        CannotRunWild: the network has.
    """
    refuse_illegal(features_of(recipe, network, Alone()) | {"hogwild"})
    shared = SharedLabels(SharedWindows.of(objective.training), objective.validation)
    steps = recipe.epochs * -(-len(shared) // recipe.batch)
    settings = HogwildSettings(
        workers=workers,
        epochs=recipe.epochs,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate,
        schedule=Curve(recipe, steps),
        clip_norm=recipe.clip_norm,
        patience=recipe.patience,
        seed=recipe.seed,
    )
    found = run_wild(network, shared, settings, on_epoch)
    stopped = "" if len(found.fit.epochs) == recipe.epochs else "no better for long enough"
    return Fit(found.fit.epochs, sum(found.updates), 0, stopped), found
