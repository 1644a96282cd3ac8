"""Recomputed activations: fewer bytes, the same gradients, bit by bit."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from aitrade_cli.training.activations import NothingToRecompute, blocks_of, recompute, watched
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.run import Recipe, pursue
from tests.test_training_loop import arch, planted


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Deep(nn.Module):
    """Blocks with dropout and batch norm: chance and buffers that must not run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3))
            for _ in range(6)
        )
        self.head = nn.Linear(32, 3)

    def forward(self, rows: Tensor) -> Tensor:
        for block in self.blocks:
            rows = rows + block(rows)
        return self.head(rows)


def deep() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Deep()


def stepped(network: nn.Module) -> tuple[list[Tensor], list[Tensor], int]:
    """Gradients and buffers after two passes, and the peak of what was kept."""
    rows = torch.randn(64, 32, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng(devices=[]), watched(network.parameters()) as meter:
        torch.manual_seed(5)
        for _ in range(2):
            network.zero_grad()
            network(rows).square().mean().backward()
    gradients = [one.grad.clone() for one in network.parameters() if one.grad is not None]
    return gradients, [one.clone() for one in network.buffers()], meter.peak_bytes


def test_gradients_and_buffers_are_equal_bit_by_bit_dropout_included() -> None:
    plain, thrifty = deep(), deep()
    recompute(thrifty)
    gradients, buffers, kept = stepped(plain)
    again, buffers_again, kept_again = stepped(thrifty)
    assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(buffers, buffers_again, strict=True))
    assert kept_again < 0.35 * kept


def test_other_dropout_would_be_noticed() -> None:
    plain, other = deep(), deep()
    gradients, _, _ = stepped(plain)
    for part in other.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.31
    assert not all(
        torch.equal(one, two) for one, two in zip(gradients, stepped(other)[0], strict=True)
    )


def test_six_layers_keep_a_tenth() -> None:
    network = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 6, enable_nested_tensor=False
    )
    steps = torch.randn(8, 32, 64)
    peaks = []
    for thrifty in (False, True):
        if thrifty:
            recompute(network)
        with watched(network.parameters()) as meter:
            network(steps).sum().backward()
        peaks.append(meter.total_bytes)
        assert meter.live_bytes == 0
    assert peaks[1] <= 0.1 * peaks[0]


def test_undone_it_is_the_network_that_it_was() -> None:
    network = deep()
    recompute(network)()
    assert not any("forward" in vars(part) for part in network.modules())
    assert stepped(network)[2] == stepped(deep())[2]


@pytest.mark.parametrize("name", ["tcn", "transformer", "deeplob"])
def test_a_run_that_recomputes_gives_the_same_weights(name: str) -> None:
    weights = []
    for thrifty in (False, True):
        network = fresh(arch(name), 1)
        recipe = Recipe(epochs=1, batch=32, activation_checkpointing=thrifty)
        pursue(network, Labels(planted(64), planted(16)), recipe)
        weights.append(network.state_dict())
        assert not any("forward" in vars(part) for part in network.modules())
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_layers_of_an_encoder_between_an_embedding_and_a_head_are_the_blocks() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)
    network = nn.Sequential(nn.Linear(4, 8), encoder, nn.Linear(8, 3))
    assert blocks_of(network) == list(encoder.layers)
    plain = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Sequential(nn.Linear(8, 8)))
    assert blocks_of(plain) == [plain[0], plain[2]]


def test_a_network_without_blocks_is_refused_with_another_way() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(24, 3))
    assert not blocks_of(network)
    with pytest.raises(NothingToRecompute, match="no repeated blocks") as refused:
        recompute(network)
    assert "--accumulate" in refused.value.hint


def test_nothing_is_recomputed_where_nothing_is_learned() -> None:
    network = deep().eval()
    recompute(network)
    rows = torch.randn(4, 32)
    with torch.no_grad():
        assert np.isfinite(network(rows).numpy()).all()
