"""Copies of weights in 16 bits are not kept: fewer bytes, the same gradients, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.training.activations import recompute, watched
from aitrade_cli.training.precision import has_units
from aitrade_cli.training.weight_copies import ChangedMeanwhile, copies_let_go

pytestmark = pytest.mark.skipif(
    not has_units("bf16", "cpu"), reason="this CPU has no units for bfloat16"
)


class Newest(nn.Module):
    """A recurrent layer and a head, so that both ways to keep a weight are there."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.LSTM(32, 48, 2, batch_first=True), nn.Linear(48, 32)

    def forward(self, windows: Tensor) -> Tensor:
        return self.head(self.layer(windows)[0][:, -1])


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "lstm": Newest,
    "encoder": lambda: nn.TransformerEncoder(
        nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True),
        2,
        enable_nested_tensor=False,
    ),
    "convolution": lambda: nn.Sequential(nn.Conv1d(12, 32, 3), nn.ReLU(), nn.Conv1d(32, 32, 3)),
}


def made(name: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NETWORKS[name]().train()


def gradients(
    network: nn.Module, around: Callable[[], AbstractContextManager[Any]]
) -> tuple[list[Tensor], int]:
    """Of two steps' worth of windows, and the bytes that were held in between."""
    windows = torch.randn(4, 12, 32, generator=torch.Generator().manual_seed(1))
    with watched(network.parameters()) as meter:
        with torch.autocast("cpu", torch.bfloat16), around():
            loss = network(windows).square().mean()
        held = meter.live_bytes
        loss.backward()
        assert meter.live_bytes == 0
    return [one.grad.clone() for one in network.parameters() if one.grad is not None], held


@pytest.mark.parametrize("name", list(NETWORKS))
def test_gradients_are_equal_and_the_copies_are_gone(name: str) -> None:
    network = made(name)
    plain, held = gradients(network, nullcontext)
    network.zero_grad()
    again, held_again = gradients(network, copies_let_go)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))
    large = sum(one.numel() for one in network.parameters() if one.ndim > 1)
    # Bar the embedding of attention, which is cut in three before it is kept, and small ones.
    assert held - held_again >= (0.6 if name == "encoder" else 0.85) * 2 * large


def test_it_goes_together_with_recomputation() -> None:
    network = made("encoder")
    plain, _ = gradients(network, nullcontext)
    network.zero_grad()
    recompute(network)
    again, _ = gradients(network, copies_let_go)
    assert all(torch.equal(one, other) for one, other in zip(plain, again, strict=True))


def test_a_weight_that_changed_meanwhile_is_an_error_not_another_gradient() -> None:
    network = made("lstm")
    with torch.autocast("cpu", torch.bfloat16), copies_let_go():
        loss = network(torch.randn(2, 3, 32)).sum()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(1.0)
    with pytest.raises(ChangedMeanwhile):
        loss.backward()
