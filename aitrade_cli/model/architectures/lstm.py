"""Stacked long short-term memory, read out at the last step."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn


class LSTM(nn.Module):
    r"""Gated recurrence with a cell that carries memory past the vanishing gradient.

    Looks back over whatever it is given: the time axis is free. Each step of each layer
    costs $4H(I+H)$ multiply-adds for input $I$ and hidden $H$, and steps cannot run side
    by side, so one window takes time in proportion to its length.

    Args:
        features: numbers per time step.
        classes: outputs.
        hidden_sizes: units of each layer, first to last; each is its own ``nn.LSTM``, so
            widths may differ.

    Source:
        Hochreiter and Schmidhuber 1997. https://doi.org/10.1162/neco.1997.9.8.1735
    """

    def __init__(
        self, *, features: int, classes: int = 3, hidden_sizes: Sequence[int] = (128, 128)
    ) -> None:
        super().__init__()
        widths = [features, *hidden_sizes]
        self.layers = nn.ModuleList(
            nn.LSTM(before, after, batch_first=True) for before, after in pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        states = window
        for layer in self.layers:
            states, _ = layer(states)
        return self.head(states[:, -1])
