"""ZeRO-1: each process keeps the optimizer's moments of its share of the weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from aitrade_cli.training.recipe import Recipe

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # torch compiles others there, unasked
    from torch.distributed.optim import ZeroRedundancyOptimizer


def sharded_adamw(parameters: Sequence[nn.Parameter], recipe: Recipe) -> Optimizer:
    """AdamW whose state is shared out by whole weights, so shares are not equally large.

    Source:
        Rajbhandari et al. 2020. https://arxiv.org/abs/1910.02054
    """
    return ZeroRedundancyOptimizer(
        list(parameters),
        optimizer_class=torch.optim.AdamW,
        lr=recipe.learning_rate,
        weight_decay=recipe.weight_decay,
    )
