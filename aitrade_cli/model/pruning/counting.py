"""What a network costs: parameters and multiply-accumulates of one window."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.model.architectures.transformer import Attention
from aitrade_cli.model.pruning.stand_ins import GATES


def parameters(network: nn.Module) -> int:
    """Numbers in all parameters, biases included."""
    return sum(value.numel() for value in network.parameters())


def macs(network: nn.Module, window: Float[Tensor, "1 time feature"]) -> int:
    """Multiply-accumulates of linear, convolutional, recurrent and attention layers.

    Biases, norms and activations are left out, as is customary.
    """
    total = 0

    def count(layer: nn.Module, given: tuple[Any, ...], made: Any) -> None:  # noqa: ANN401
        nonlocal total
        total += macs_of(layer, given[0], made)

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.LSTM, nn.GRU, Attention)
    hooks = [
        layer.register_forward_hook(count)
        for layer in network.modules()
        if isinstance(layer, kinds)
    ]
    try:
        with torch.inference_mode():
            network(window)
    finally:
        for hook in hooks:
            hook.remove()
    return total


def macs_of(layer: nn.Module, given: Tensor, made: Any) -> int:  # noqa: ANN401
    if isinstance(layer, nn.Linear):
        return made.numel() * layer.in_features
    if isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return made.numel() * layer.weight[0].numel()
    if isinstance(layer, nn.LSTM | nn.GRU):
        steps = given.numel() // given.shape[-1]
        weights = sum(value.numel() for name, value in layer.named_parameters() if "weight" in name)
        return steps * weights if type(layer) in GATES else 0
    if isinstance(layer, Attention):
        batch, time, _ = given.shape
        return 2 * batch * time * time * layer.heads * layer.head_size
    return 0
