"""Graph passes: nodes go, outputs stay, and what must not be touched is not."""
# long because the four passes are tried on the same small networks

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.model.architectures import create
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card, TensorSpec
from aitrade_cli.model.fx_passes import fold_graph, optimize_graph
from aitrade_cli.model.fx_passes.report import GraphReport
from aitrade_cli.model.fx_passes.tracing import NotTraceable
from aitrade_cli.model.loading import load
from aitrade_cli.model.runtimes import start
from aitrade_cli.report.blocks import view
from tests.passes_cases import torch_model

CLOSE = 1e-5


class Net(nn.Module):
    """Layers, and whatever a subclass does with them."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__(name)


class ConvNorm(Net):
    def forward(self, signal: Tensor) -> Tensor:
        return self.norm(self.conv(signal)).relu()


class Twice(Net):
    def forward(self, signal: Tensor) -> Tensor:
        return torch.sin(signal) * 2 + torch.sin(signal) * 2 + torch.cos(signal)


class InPlace(Net):
    def forward(self, signal: Tensor) -> Tensor:
        first, second = signal + 1, signal + 1
        first.mul_(3)
        return first + second


class Noisy(Net):
    def forward(self, signal: Tensor) -> Tensor:
        return signal + 0 * (torch.rand_like(signal) - torch.rand_like(signal))


class Constant(Net):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.arange(6.0).reshape(2, 3))

    def forward(self, signal: Tensor) -> Tensor:
        scale = torch.exp(self.weight.t() * 0.5) + torch.arange(3.0)[:, None]
        return signal @ scale


class Dead(Net):
    def forward(self, signal: Tensor) -> Tensor:
        self.unused(signal)
        torch.sin(signal)
        return self.used(signal)


def line(report: GraphReport, name: str) -> int:
    return next(one.nodes_removed for one in report.passes if one.name == name)


def seeded(seed: int) -> None:
    torch.manual_seed(seed)


def lived_in(norm: nn.Module) -> nn.Module:
    """Statistics and scales as after training, none of them 0 or 1."""
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.3, 3.0)
    if norm.affine:
        nn.init.uniform_(norm.weight, -2.0, 2.0)
        nn.init.normal_(norm.bias)
    return norm


@settings(max_examples=10)
@given(
    seed=st.integers(0, 10_000),
    channels=st.tuples(st.integers(1, 4), st.integers(1, 5)),
    flat=st.booleans(),
    bias=st.booleans(),
    affine=st.booleans(),
    size=st.integers(1, 3),
)
def test_batch_norm_is_multiplied_into_the_convolution(
    seed: int, channels: tuple[int, int], flat: bool, bias: bool, affine: bool, size: int
) -> None:
    seeded(seed)
    before, after = channels
    if flat:
        conv: nn.Module = nn.Conv1d(before, after, size, padding=1, bias=bias)
        norm, shape = nn.BatchNorm1d(after, affine=affine), (3, before, 8)
    else:
        conv = nn.Conv2d(before, after, size, padding=1, bias=bias)
        norm, shape = nn.BatchNorm2d(after, affine=affine), (3, before, 6, 5)
    network = ConvNorm(conv=conv, norm=lived_in(norm)).eval()
    window = torch.randn(shape)
    folded, report = fold_graph(network, window)
    assert line(report, "conv-bn") == 1
    with torch.no_grad():
        torch.testing.assert_close(folded(window), network(window), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in folded.modules())


def test_a_convolution_with_two_readers_keeps_its_norm() -> None:
    class Both(Net):
        def forward(self, signal: Tensor) -> Tensor:
            found = self.conv(signal)
            return self.norm(found) + found

    network = Both(conv=nn.Conv1d(2, 2, 1), norm=lived_in(nn.BatchNorm1d(2))).eval()
    _, report = fold_graph(network, torch.randn(3, 2, 7))
    assert line(report, "conv-bn") == 0


def test_a_norm_without_statistics_of_its_own_stays() -> None:
    network = ConvNorm(
        conv=nn.Conv1d(2, 2, 1), norm=nn.BatchNorm1d(2, track_running_stats=False)
    ).eval()
    _, report = fold_graph(network, torch.randn(3, 2, 7))
    assert line(report, "conv-bn") == 0


def test_linear_and_norm_fold_on_rows_and_not_on_sequences() -> None:
    class LinearNorm(Net):
        def forward(self, rows: Tensor) -> Tensor:
            return self.norm(self.linear(rows))

    network = LinearNorm(linear=nn.Linear(4, 5), norm=lived_in(nn.BatchNorm1d(5))).eval()
    _, report = fold_graph(network, torch.randn(6, 4))
    assert line(report, "conv-bn") == 1
    sequences = torch.randn(6, 5, 4)
    folded, report = fold_graph(network, sequences)
    assert line(report, "conv-bn") == 0
    torch.testing.assert_close(folded(sequences), network(sequences))


def test_what_is_computed_twice_is_computed_once() -> None:
    window = torch.randn(4, 3)
    folded, report = fold_graph(Twice(), window)
    assert line(report, "repeated") == 2  # one sine and its product
    torch.testing.assert_close(folded(window), Twice()(window))


def test_a_number_and_a_whole_number_are_not_the_same() -> None:
    class Mixed(Net):
        def forward(self, rows: Tensor) -> Tensor:
            return torch.full((2,), 1) / 2 + torch.full((2,), 1.0) / 2 + rows

    window = torch.randn(3, 2)
    folded, _ = fold_graph(Mixed(), window)
    torch.testing.assert_close(folded(window), Mixed()(window))


def test_a_graph_that_writes_in_place_is_left_alone() -> None:
    window = torch.randn(4, 3)
    folded, report = fold_graph(InPlace(), window)
    assert report.nodes_removed == 0
    torch.testing.assert_close(folded(window), InPlace()(window))


def test_random_numbers_are_neither_shared_nor_frozen() -> None:
    folded, report = fold_graph(Noisy(), torch.randn(2, 3))
    drawn = [node for node in folded.graph.nodes if "rand" in str(node.target)]
    assert len(drawn) == 2
    assert line(report, "constants") == 0


def test_constants_are_computed_here() -> None:
    window = torch.randn(4, 3)
    network = Constant()
    folded, report = fold_graph(network, window)
    assert line(report, "constants") >= 4
    assert len(folded.graph.nodes) == 4  # input, constant, product, output
    torch.testing.assert_close(folded(window), network(window))


def test_nobody_s_results_are_not_computed() -> None:
    network = Dead(unused=nn.Linear(3, 3), used=nn.Linear(3, 2)).eval()
    window = torch.randn(4, 3)
    folded, report = fold_graph(network, window)
    assert report.nodes_removed == 2
    assert "unused" not in dict(folded.named_modules())
    torch.testing.assert_close(folded(window), network(window))


STEPS = ("sin", "double", "self", "constant", "unused", "norm")


@settings(max_examples=15)
@given(steps=st.lists(st.sampled_from(STEPS), min_size=1, max_size=8), seed=st.integers(0, 99))
def test_any_small_network_keeps_its_outputs(steps: list[str], seed: int) -> None:
    class Steps(Net):
        def forward(self, signal: Tensor) -> Tensor:
            for step in steps:
                if step == "sin":
                    signal = torch.sin(signal) + torch.sin(signal)
                elif step == "double":
                    signal = signal * 2 - signal
                elif step == "self":
                    signal = signal + functional.relu(signal)
                elif step == "constant":
                    signal = signal * torch.arange(1.0, 4.0)[None, :, None].exp()
                elif step == "unused":
                    signal.tanh()
                else:
                    signal = self.norm(self.conv(signal))
            return signal

    seeded(seed)
    network = Steps(conv=nn.Conv1d(3, 3, 3, padding=1), norm=lived_in(nn.BatchNorm1d(3))).eval()
    window = torch.randn(2, 3, 5)
    folded, report = fold_graph(network, window)
    with torch.no_grad():
        expected = network(window)
        close = 1e-4 * max(1.0, float(expected.abs().max()))
        torch.testing.assert_close(folded(window), expected, atol=close, rtol=1e-4)
    assert report.nodes_after <= report.nodes_before
    assert report.nodes_removed == sum(one.nodes_removed for one in report.passes)


def test_the_network_that_came_in_is_not_touched() -> None:
    network = ConvNorm(conv=nn.Conv1d(2, 2, 1), norm=lived_in(nn.BatchNorm1d(2))).eval()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    fold_graph(network, torch.randn(3, 2, 7))
    assert all(torch.equal(before[name], now) for name, now in network.state_dict().items())


def test_a_network_that_branches_on_data_is_refused() -> None:
    class Branches(Net):
        def forward(self, signal: Tensor) -> Tensor:
            return signal if signal.sum() > 0 else -signal

    with pytest.raises(NotTraceable):
        fold_graph(Branches(), torch.randn(3, 4))


CONFIGS = {
    "mlp": {"window": 8},
    "lstm": {"hidden_sizes": [5]},
    "gru": {"hidden_sizes": [5]},
    "tcn": {"channels": [4, 4]},
    "deeplob": {"channels": [4] * 9, "branches": [4] * 5, "hidden_size": 4},
    "transformer": {"width": 8, "heads": [2], "head_size": 4, "ffn_sizes": [8]},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_architecture_keeps_its_outputs(name: str) -> None:
    seeded(3)
    network = create(Arch(name, {"features": 4, **CONFIGS[name]})).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    window = torch.randn(3, 8, 4)
    folded, _ = fold_graph(network, window)
    with torch.no_grad():
        torch.testing.assert_close(folded(window), network(window), atol=CLOSE, rtol=CLOSE)


def test_an_artefact_comes_out_as_onnx_that_answers_alike() -> None:
    source = torch_model()
    made, report = optimize_graph(source)
    assert isinstance(made.network, OnnxGraph)
    again = load(dump(made), name="folded.onnx")
    window = np.random.default_rng(0).standard_normal((3, 8, 4)).astype(np.float32)
    assert start(again).run(window) == pytest.approx(start(source).run(window), abs=1e-5)
    assert report.source == "tiny.pt"
    assert "nodes removed" in repr(list(view(report)))


def test_a_recurrent_artefact_keeps_its_free_time_axis() -> None:
    seeded(0)
    arch = Arch("lstm", {"features": 4, "hidden_sizes": [5]})
    network = create(arch).eval()
    card = Card(
        (TensorSpec("window", ("batch", "time", 4)),), (TensorSpec("logits", ("batch", 3)),), arch
    )
    source = Artefact(card, TorchWeights(dict(network.state_dict())), name="r.pt")
    made, _ = optimize_graph(source)
    assert made.card.inputs[0].free_axes == ("batch", "time")
    window = np.random.default_rng(0).standard_normal((2, 13, 4)).astype(np.float32)
    assert start(made).run(window) == pytest.approx(start(source).run(window), abs=1e-5)


def test_a_card_without_a_window_is_refused() -> None:
    source = torch_model()
    card = replace(source.card, inputs=(TensorSpec("x", ("batch", "feature")),))
    from aitrade_cli.model.fx_passes.fold import NoWindow

    with pytest.raises(NoWindow):
        optimize_graph(replace(source, card=card))
