"""Adapters that vanish: fused attention reads weights past them, or its projection never learns.

Both happen silently where an adapter is put around a layer instead of on its weight, which is
how a well-known library does it (helical issue 405, peft issue 761).
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.training.lora import LoraSettings, adapt
from aitrade_cli.training.lora_proof import CLOSE, prove


@pytest.fixture
def encoder() -> nn.TransformerEncoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.1, batch_first=True)
        return nn.TransformerEncoder(layer, 2)


def steps() -> Tensor:
    return torch.randn(3, 5, 16, generator=torch.Generator().manual_seed(1))


def speaking(network: nn.Module, settings: LoraSettings) -> None:
    for place in adapt(network, settings).places:
        nn.init.normal_(place.adapter.up, std=0.2)


class Around(nn.Module):
    """The wrong way: a layer that adds its product in its own forward."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.change = nn.Linear(layer.in_features, layer.out_features, bias=False)

    @property
    def weight(self) -> Tensor:
        return self.layer.weight

    @property
    def bias(self) -> Tensor:
        return self.layer.bias

    def forward(self, steps: Tensor) -> Tensor:
        return self.layer(steps) + self.change(steps)


def test_fused_attention_hears_adapters_in_evaluation_mode(encoder: nn.Module) -> None:
    with torch.inference_mode():
        before = encoder.eval()(steps())
    speaking(encoder, LoraSettings(rank=2))
    with torch.inference_mode():  # where torch takes the fused path
        after = encoder.eval()(steps())
    by_hand = encoder(steps()).detach()  # gradients keep it off that path
    assert not after.allclose(before, atol=1e-2)
    assert (after - by_hand).abs().max() <= CLOSE


def test_an_adapter_around_a_layer_would_not_be_heard(encoder: nn.TransformerEncoder) -> None:
    encoder.requires_grad_(False)
    with torch.inference_mode():
        before = encoder.eval()(steps())
        for layer in encoder.layers:
            assert isinstance(layer, nn.TransformerEncoderLayer)
            layer.linear1 = Around(layer.linear1)  # type: ignore[assignment]
        torch.testing.assert_close(encoder(steps()), before)


def test_the_projection_out_of_attention_learns(encoder: nn.Module) -> None:
    adapted = adapt(encoder, LoraSettings(rank=2, only="*.out_proj.*"))
    assert len(adapted.places) == 2
    for _ in range(2):
        encoder.train()(steps()).square().mean().backward()
        for place in adapted.places:
            place.adapter.up.data.add_(0.01)
    for place in adapted.places:
        for slope in (place.adapter.up.grad, place.adapter.down.grad):
            assert slope is not None
            assert slope.abs().max() > 0


@pytest.mark.parametrize("only", ["*", "*in_proj*", "*.out_proj.*", "*linear*"])
def test_the_proof_passes_on_stock_attention(encoder: nn.Module, only: str) -> None:
    proof = prove(encoder, LoraSettings(rank=2, only=only), steps())
    assert proof.start == 0.0
    assert proof.modes is not None
    assert max(proof.modes, proof.merged) <= CLOSE


def test_attention_with_keys_and_values_of_other_widths_is_adapted() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(16, 2, kdim=5, vdim=7, batch_first=True)

        def forward(self, steps: Tensor) -> Tensor:
            return self.attention(steps, steps[..., :5], steps[..., :7])[0]

    assert prove(Mixed(), LoraSettings(rank=2), steps()).adapters == 4
