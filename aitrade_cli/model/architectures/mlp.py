"""Multi-layer perceptron over a flattened window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class MLP(nn.Module):
    """The whole window as one long vector, through linear layers with ReLU between.

    Looks back exactly ``window`` steps and works at no other length: the first layer
    has one weight per step and feature. One call costs one multiply-add per weight,
    which makes it the cheapest of the built-ins and bound by memory, not arithmetic.

    Args:
        features: numbers per time step.
        window: time steps per input, fixed.
        classes: outputs.
        hidden_sizes: width of each hidden layer, first to last.
    """

    def __init__(
        self,
        *,
        features: int,
        window: int = 64,
        classes: int = 3,
        hidden_sizes: Sequence[int] = (512, 512),
    ) -> None:
        super().__init__()
        widths = [window * features, *hidden_sizes]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(widths))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        state = window.flatten(1)
        for layer in self.hidden:
            state = layer(state).relu()
        return self.head(state)
