"""Units that did nothing go without a trace, and what is left loads as any other model."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch

from aitrade_cli.errors import BadInput
from aitrade_cli.model.architectures import ARCHITECTURES, create
from aitrade_cli.model.artefact import Artefact, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.pruning import Pruned, Scores, importance, prune_structured, units_of
from aitrade_cli.model.pruning.scores import taylor
from tests.pruning_cases import answers, arch_named, kill, network_named, some_windows
from tests.shell import python

NAMES = tuple(ARCHITECTURES)


def scored(name: str, network: torch.nn.Module) -> Scores:
    return importance(network, arch_named(name), some_windows())


def parameters(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def halved(name: str) -> tuple[torch.nn.Module, Pruned]:
    network = network_named(name)
    return network, prune_structured(network, arch_named(name), 0.5, scored(name, network))


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_dead_units_go_without_a_trace(name: str, seed: int) -> None:
    network = network_named(name, seed)
    marked = kill(network, scored(name, network), seed)
    if name == "transformer":  # where its stream moves is seen only after the killing
        marked = Scores(
            marked.basis,
            marked.ranked,
            marked.untouched,
            scored(name, network).stream,
            marked.windows,
        )
    pruned = prune_structured(network, arch_named(name), 0.5, marked)
    windows = some_windows(32, seed + 10)
    assert parameters(pruned.network) < 0.5 * parameters(network)
    assert (answers(pruned.network, windows) - answers(network, windows)).abs().max() <= 1e-6


@pytest.mark.parametrize("name", NAMES)
def test_a_live_unit_would_be_missed(name: str) -> None:
    network, pruned = halved(name)
    windows = some_windows(32, 10)
    assert (answers(pruned.network, windows) - answers(network, windows)).abs().max() > 1e-4


@pytest.mark.parametrize("name", NAMES)
def test_half_of_the_units_go_and_the_dense_parent_stays(name: str) -> None:
    network = network_named(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    pruned = prune_structured(network, arch_named(name), 0.5, scored(name, network))
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())
    kinds = {layer.name for layer in pruned.layers}
    narrow = [one for one in pruned.layers if "attention" not in one.name]
    assert kinds
    left = sum(one.units_after for one in narrow) / sum(one.units_before for one in narrow)
    assert left == pytest.approx(0.5, abs=0.06)
    assert all(one.units_after % 8 == 0 for one in narrow)
    assert {one.name for one in pruned.untouched} <= {"head"}


@pytest.mark.parametrize("name", NAMES)
def test_the_result_is_plain_data_and_loads_as_the_same_network(name: str) -> None:
    _, pruned = halved(name)
    saved = dump(Artefact(Card((), (), pruned.arch), TorchWeights(pruned.network.state_dict())))
    torch.load(io.BytesIO(saved), weights_only=True)
    windows = some_windows(8, 3)
    assert answers(build(load(saved)), windows).equal(answers(pruned.network, windows))


def test_the_result_runs_in_a_fresh_process(tmp_path: Path) -> None:
    _, pruned = halved("lstm")
    file = tmp_path / "small.pt"
    weights = TorchWeights(pruned.network.state_dict())
    file.write_bytes(dump(Artefact(Card((), (), pruned.arch), weights)))
    code = (
        "import sys, torch; from pathlib import Path\n"
        "from aitrade_cli.model.loading import load; from aitrade_cli.model.network import build\n"
        f"net = build(load(Path({str(file)!r}).read_bytes()))\n"
        "shape = tuple(net(torch.zeros(2, 9, 5)).shape)\n"
        "print(shape, 'torch_pruning' in sys.modules, file=sys.stderr)"
    )
    assert python(code).split("\n")[0] == "(2, 3) False"


def test_pruning_twice_reaches_the_share_of_the_first_parent() -> None:
    network, first = halved("gru")
    middle = prune_structured(network, arch_named("gru"), 0.3, scored("gru", network))
    again = importance(middle.network, middle.arch, some_windows())
    both = prune_structured(
        middle.network, middle.arch, 0.5, again, original=units_of(middle.layers)
    )
    assert both.units_after == first.units_after


def test_without_windows_the_size_of_weights_ranks_them() -> None:
    network = network_named("mlp")
    scores = importance(network, arch_named("mlp"), None)
    assert scores.basis == "magnitude"
    pruned = prune_structured(network, arch_named("mlp"), 0.5, scores)
    assert pruned.units_after == 40


def test_taylor_is_the_weight_times_its_gradient() -> None:
    """For one linear layer and cross-entropy, d loss / d w is known in closed form."""
    layer = torch.nn.Linear(4, 3)
    linear = torch.nn.Sequential(torch.nn.Flatten(), layer).eval()
    windows = torch.randn(8, 2, 2, generator=torch.Generator().manual_seed(0))
    found = taylor(linear, windows, None)["1.weight"]
    flat, weight = windows.flatten(1).double(), layer.weight.detach().double()
    logits = flat @ weight.T + layer.bias.detach().double()
    wanted = torch.nn.functional.one_hot(logits.argmax(1), 3)
    gradient = (torch.softmax(logits, 1) - wanted).T @ flat / len(flat)
    assert torch.from_numpy(found).allclose((weight * gradient).abs(), atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.2, float("nan")])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    network = network_named("mlp")
    with pytest.raises(BadInput, match="must be in"):
        prune_structured(network, arch_named("mlp"), share, scored("mlp", network))


def test_a_shortcut_with_weights_keeps_them() -> None:
    """A TCN whose first width would become that of its input has no place for them."""
    arch = Arch("tcn", {"features": 16, "classes": 3, "channels": [32, 32], "kernel_size": 2})
    with torch.random.fork_rng(devices=[]):
        network = create(arch).eval()
    windows = torch.randn(8, 12, 16).numpy()
    pruned = prune_structured(network, arch, 0.5, importance(network, arch, windows))
    assert pruned.arch.config["channels"] == [17, 17]
