"""From a bare network to one that can take a step: the stages, in the only order that works.

Adapters go in first, so that what is wrapped holds them; activations are recomputed inside
what is compiled; the optimizer comes after sharding, because sharding replaces the parameters
that it would hold on to; an earlier state comes last, because it needs all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from aitrade_cli.training.activations import recompute
from aitrade_cli.training.placement import Placement
from aitrade_cli.training.recipe import Recipe

MakeOptimizer = Callable[[Sequence[nn.Parameter], Recipe], Optimizer]


def adamw(parameters: Sequence[nn.Parameter], recipe: Recipe) -> Optimizer:
    """AdamW, weight decay apart from the gradient.

    Source:
        Loshchilov and Hutter 2019. https://arxiv.org/abs/1711.05101
    """
    return torch.optim.AdamW(
        parameters,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
        fused=True if recipe.fused else None,
    )


@dataclass(frozen=True, slots=True)
class Build:
    """Stages that a caller may put its own in.

    Attributes:
        adapt: changes the network before anything else, in place; it may freeze weights.
        optimizer: of the weights that are left to train.
        features: words in `legality.FEATURES` that these stages stand for: ``lora``.
    """

    adapt: Callable[[nn.Module], None] | None = None
    optimizer: MakeOptimizer = adamw
    features: frozenset[str] = frozenset()


PLAIN = Build()


@dataclass(frozen=True, slots=True)
class Built:
    """What came of it.

    Attributes:
        model: what the forward pass is called on.
        trained: the weights that the optimizer changes.
        stages: names of those that ran, in order.
        undo: takes off what is not part of the network itself.
    """

    model: nn.Module
    trained: tuple[nn.Parameter, ...]
    optimizer: Optimizer
    stages: tuple[str, ...]
    undo: tuple[Callable[[], Any], ...]


def assemble(
    network: nn.Module, helper: nn.Module, recipe: Recipe, build: Build, placement: Placement
) -> Built:
    """Run the stages on a network, in place."""
    stages: list[str] = []
    undo: list[Callable[[], Any]] = []
    if build.adapt is not None:
        build.adapt(network)
        stages.append("adapt")
    if recipe.activation_checkpointing:
        undo.append(recompute(network))
        stages.append("activation_checkpointing")
    if recipe.compile:
        network.compile()
        undo.append(lambda: setattr(network, "_compiled_call_impl", None))
        stages.append("compile")
    model = placement.wrap(network)
    stages.append("place")
    every = [*network.parameters(), *helper.parameters()]
    trained = tuple(weight for weight in every if weight.requires_grad)
    optimizer = build.optimizer(trained, recipe)
    stages.append("optimizer")
    model, optimizer, release = placement.engage(model, optimizer, recipe)
    undo.append(release)
    return Built(model, trained, optimizer, tuple(stages), tuple(undo))
