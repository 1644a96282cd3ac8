"""Set single weights to zero: at once, in a pattern, or more and more while training."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from torch import Tensor

from aitrade_cli.model.pruning.counting import parameters
from aitrade_cli.model.pruning.masks import apply, masks_of, pattern_masks, zeros_of
from aitrade_cli.model.pruning.schedule import Growing, Held
from aitrade_cli.passes.prune.job import Cutting, Job, flips_of
from aitrade_cli.passes.prune.report import LayerLine, RoundLine
from aitrade_cli.passes.prune.settings import Settings
from aitrade_cli.training.run import Hooks

Say = Callable[[str], None]


def mask_weights(job: Job, settings: Settings, say: Say) -> Cutting:
    """Zero weights by size. With a tutor, those that are left are trained with the zeros held."""
    network = copy.deepcopy(job.network)
    say(settings.way)
    epochs = 0
    if settings.schedule == "cubic" and job.tutor is not None:
        growing = Growing(settings.sparsity or 0.0, per_layer=settings.per_layer)
        epochs = job.tutor.teach(network, settings.epochs, say, while_growing(growing, settings))
        masks, cut = growing.masks, None
    else:
        masks = chosen(job, settings)
        apply(network, masks)
        cut = flips_of(job, network)
        if job.tutor is not None:
            epochs = job.tutor.teach(network, settings.epochs, say, Hooks(after_step=Held(masks)))
    apply(network, masks)
    zeros = zeros_of(network)
    trained = flips_of(job, network) if epochs else None
    gone = sum(one.zeros for one in zeros)
    weights = sum(one.weights for one in zeros)
    total = parameters(network)
    line = RoundLine(1, gone / max(weights, 1), total - gone, cut, trained, epochs)
    return Cutting(
        network=network,
        arch=job.arch,
        ranking="magnitude",
        layers=tuple(LayerLine(one.name, one.weights, one.weights - one.zeros) for one in zeros),
        untouched=tuple(
            f"{one.name}: its inputs do not divide into such groups"
            for one in zeros
            if one.name not in masks
        ),
        rounds=(line,),
        notes=("weights are ranked by size; biases and norms are left alone",),
    )


def while_growing(growing: Growing, settings: Settings) -> Hooks:
    """Weights of a pass count only once the sparsity has arrived."""
    arrived = math.ceil(growing.grow_share * settings.epochs)
    return Hooks(after_step=growing, counts=lambda number: number >= arrived)


def chosen(job: Job, settings: Settings) -> dict[str, Tensor]:
    if settings.pattern is not None:
        return pattern_masks(job.network, *settings.pattern)
    return masks_of(job.network, settings.sparsity or 0.0, per_layer=settings.per_layer)
