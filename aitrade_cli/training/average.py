"""A moving average of the weights: smoother than the weights of any one step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from aitrade_cli.errors import Usage


class Average:
    r"""$\bar w \leftarrow d \, \bar w + (1 - d) \, w$ after each step.

    Early on the decay is $(1 + t) / (10 + t)$ where that is less, so that the first weights,
    which are chance, do not linger. What is no float, such as a counter, is copied.

    Args:
        network: whose weights are averaged.
        decay: in (0, 1); 0.999 looks back about a thousand steps.

    Source:
        Polyak and Juditsky 1992; exponential form as in Tarvainen and Valpola 2017.
        https://arxiv.org/abs/1703.01780
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        if not 0.0 < decay < 1.0:
            raise Usage(f"an average with decay `{decay}` is none: wanted above 0 and below 1")
        self.decay, self.steps = decay, 0
        self.weights = {
            name: value.detach().clone() for name, value in network.state_dict().items()
        }

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                self.weights[name].lerp_(value, 1.0 - decay)
            else:
                self.weights[name].copy_(value)

    @contextmanager
    def in_place(self, network: nn.Module) -> Iterator[None]:
        """The network with averaged weights; its own come back after."""
        own: dict[str, Tensor] = {
            name: value.detach().clone() for name, value in network.state_dict().items()
        }
        network.load_state_dict(self.weights)
        try:
            yield
        finally:
            network.load_state_dict(own)

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps, "weights": self.weights}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])
        for name, value in state["weights"].items():
            self.weights[name].copy_(value)
