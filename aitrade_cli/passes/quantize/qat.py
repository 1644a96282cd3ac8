"""Quantisation-aware fine-tuning: weights that survive 8 bits, where rounding them did not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.network import build
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.passes.quantize.candidates import Candidate, Workshop, build_all
from aitrade_cli.passes.quantize.settings import Settings
from aitrade_cli.training.distillation import TEACHER_ALONE, Answers
from aitrade_cli.training.lessons import lessons_of
from aitrade_cli.training.material import Material, material_of
from aitrade_cli.training.quantized import RoundedAnswers, Rounding, calibrated
from aitrade_cli.training.run import Epoch, Recipe, pursue

Say = Callable[[str], None]
# A trained network is near a minimum, where Adam's steps are as long as far from it: at ten times
# this rate the network is worse afterwards than rounding made it.
RECIPE: Final = Recipe(epochs=3, batch=64, learning_rate=1e-5, weight_decay=0.0, patience=3)
CALIBRATED_ON: Final = 512  # windows at the most
SUFFIX: Final = ", fine-tuned"


@dataclass(frozen=True, slots=True)
class Tuned:
    """Candidates made from fine-tuned weights, or why there are none."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    material: Material | None = None  # what the weights were trained on


def fine_tune(
    source: Artefact, shop: Workshop, settings: Settings, say: Say = lambda _: None
) -> Tuned:
    """Build the same candidates again from weights that were trained while being rounded.

    The float model is the teacher, so nothing is learned but to decide as it does. Only bars
    from before those that candidates are chosen on are trained on.

    Args:
        source: the float model.
        shop: what its candidates were built with; flips are still counted against the source.
        settings: what was asked for.
        say: told what is happening.
    """
    if not isinstance(source.network, TorchWeights):
        return Tuned((), ("fine-tuning was not run: the source holds no torch weights",))
    try:
        material = material_of(source.card, settings.data, settings.symbol)
        network = trained(source, material, shop.calibration, settings, say)
    except BadInput as error:
        return Tuned((), (f"fine-tuning was not run: {error}",))
    say("exporting the fine-tuned weights")
    weights = TorchWeights(dict(network.state_dict()))
    exported, _ = export_onnx(replace(source, network=weights, sha256=None), exporter="auto")
    if not isinstance(exported.network, OnnxGraph):
        return Tuned((), ("fine-tuning was not run: the weights could not be exported",))
    graph = prepare(exported.network, shop.windows[:2])
    built = build_all(replace(shop, graph=graph), settings, say)
    return Tuned(
        tuple(replace(one, name=f"{one.name}{SUFFIX}") for one in built if one.graph is not None),
        (),
        material,
    )


def trained(
    source: Artefact,
    material: Material,
    calibration: Float[np.ndarray, "n time feature"] | None,
    settings: Settings,
    say: Say,
) -> nn.Module:
    """The source's network after fine-tuning; the source stays as it was.

    Raises:
        BadInput: a loss that is not finite.
    """
    say(f"fine-tuning in {settings.bits} on {len(material.training):,} windows")
    lessons = lessons_of(build(source), material, mixed=0.0, seed=settings.seed)
    network = build(source)
    for weight in network.parameters():
        weight.requires_grad_(True)
    rounding = Rounding(
        ranges_for(network, calibration, settings),
        settings.per_channel,
        4 if settings.bits == "int4" else 8,
    )
    goal = RoundedAnswers(Answers(lessons, TEACHER_ALONE), rounding)

    def tell(epoch: Epoch) -> None:
        say(f"fine-tuning, epoch {epoch.number}: validation {epoch.validation_loss:.6f}")

    untouched = {name: value.clone() for name, value in network.state_dict().items()}
    before = goal.validation_loss(network)
    say(f"fine-tuning: validation {before:.6f} before")
    run = pursue(network, goal, replace(RECIPE, seed=settings.seed), tell)
    if run.best.validation_loss >= before:
        network.load_state_dict(untouched)
    return network


def ranges_for(
    network: nn.Module, calibration: Float[np.ndarray, "n time feature"] | None, settings: Settings
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Fixed ranges where only static INT8 was asked for; else each window's own."""
    if calibration is None or settings.kinds != {"static"}:
        return {}
    every = max(1, len(calibration) // CALIBRATED_ON)
    return calibrated(network, np.ascontiguousarray(calibration[::every], dtype=np.float32))
