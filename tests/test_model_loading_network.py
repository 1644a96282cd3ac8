"""From weights to a network that runs, one's own included."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from aitrade_cli.model.architectures import UnknownArchitecture, WrongConfig, create
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights, dump
from aitrade_cli.model.card import Arch, Card, TensorSpec
from aitrade_cli.model.factory import FactoryFailed, NoFactory, named
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import (
    ForeignFactory,
    NoArchitecture,
    NotTorch,
    WeightsDoNotFit,
    build,
)
from aitrade_cli.model.wrap import wrap
from fixtures.user import nets
from tests import hostile

WEIGHTS = Path(__file__).parent.parent / "fixtures" / "user" / "weights.pt"
NETS = "fixtures.user.nets:build"
LSTM = Arch("lstm", {"features": 3, "hidden_sizes": [4]})


def lstm(arch: Arch = LSTM) -> Artefact:
    return Artefact(Card((), (), arch), TorchWeights(create(LSTM).state_dict()))


def test_a_built_in_network_answers_as_the_one_that_was_saved() -> None:
    network = create(LSTM).eval()
    artefact = Artefact(Card((), (), LSTM), TorchWeights(network.state_dict()))
    window = torch.randn(2, 5, 3)
    assert build(load(dump(artefact)))(window).equal(network(window))


def test_the_network_owns_its_weights() -> None:
    artefact = lstm()
    assert isinstance(artefact.network, TorchWeights)
    before = {name: tensor.clone() for name, tensor in artefact.network.state_dict.items()}
    network = build(artefact)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    assert all(artefact.network.state_dict[name].equal(before[name]) for name in before)
    assert not network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


def test_building_leaves_the_random_generator_as_it_was() -> None:
    artefact = lstm()
    before = torch.random.get_rng_state()
    build(artefact)
    build(load(WEIGHTS.read_bytes(), arch=NETS))
    assert torch.random.get_rng_state().equal(before)


def test_a_config_that_asks_for_terabytes_takes_none() -> None:
    huge = Arch("lstm", {"features": 60_000, "hidden_sizes": [60_000] * 60})
    with pytest.raises(WeightsDoNotFit):
        build(lstm(huge))


@pytest.mark.parametrize(
    "config", [{}, {"features": -1}, {"features": 1 << 40}, {"features": 3, "x": 1}]
)
def test_a_config_that_cannot_be_is_told(config: dict) -> None:
    with pytest.raises(WrongConfig):
        build(lstm(Arch("lstm", config)))


def test_missing_unexpected_and_misshapen_tensors_are_named() -> None:
    weights = dict(create(LSTM).state_dict())
    weights["extra"] = weights.pop("head.bias")
    weights["head.weight"] = torch.zeros(7, 7)
    with pytest.raises(WeightsDoNotFit, match=r"lacks `head\.bias`") as error:
        build(Artefact(Card((), (), LSTM), TorchWeights(weights)))
    assert "`extra`" in str(error.value)
    assert "`head.weight [7, 7], wanted [3, 4]`" in str(error.value)


def test_weights_of_no_network_are_told() -> None:
    with pytest.raises(NoArchitecture):
        build(Artefact(Card((), ()), TorchWeights({"w": torch.ones(1)})))


def test_an_unknown_architecture_is_told_with_those_there_are() -> None:
    with pytest.raises(UnknownArchitecture) as error:
        build(lstm(Arch("lstmm", {})))
    assert "lstm" in error.value.hint


def test_a_graph_is_no_torch_module() -> None:
    with pytest.raises(NotTorch):
        build(Artefact(Card((), ()), OnnxGraph(b"")))


def test_wrapping_takes_what_the_users_module_says() -> None:
    artefact = wrap(WEIGHTS.read_bytes(), NETS, name="weights.pt")
    assert artefact.card.preprocessing == nets.PREPROCESSING
    assert artefact.card.decision == nets.DECISION
    assert artefact.card.inputs == nets.INPUTS
    assert artefact.card.arch == Arch(NETS)
    assert build(artefact)(torch.zeros(2, 32, 8)).shape == (2, 3)


def test_wrapping_needs_no_more_than_the_factory() -> None:
    artefact = wrap(hostile.saved(hostile.small().state_dict()), "tests.hostile:small")
    assert artefact.card.inputs == (TensorSpec("window", ("batch", "time", "feature")),)
    assert artefact.card.preprocessing is None


def test_a_wrapped_file_is_opened_but_its_factory_is_not_imported() -> None:
    data = dump(wrap(WEIGHTS.read_bytes(), NETS))
    artefact = load(data)
    assert artefact.card.arch == Arch(NETS)
    with pytest.raises(ForeignFactory) as error:
        build(artefact)
    assert f"--arch {NETS}" in error.value.hint
    assert build(load(data, arch=NETS))(torch.zeros(1, 4, 8)).shape == (1, 3)


def test_a_factory_that_a_file_names_is_never_imported(tmp_path: Path) -> None:
    data = dump(lstm(Arch("marking_module:build", {})))
    (tmp_path / "marking_module.py").write_text("raise SystemExit")
    sys.path.insert(0, str(tmp_path))
    try:
        with pytest.raises(ForeignFactory):
            build(load(data))
        assert "marking_module" not in sys.modules
        with pytest.raises(NoFactory, match="SystemExit"):
            build(load(data, arch="marking_module:build"))
    finally:
        sys.path.remove(str(tmp_path))


@pytest.mark.parametrize(
    "name",
    ["nowhere.to.be:found", "tests.hostile:nothing", "tests.hostile:", "tests.hostile:PROGRAM"],
)
def test_a_factory_that_is_not_there_is_told(name: str) -> None:
    with pytest.raises(NoFactory):
        wrap(WEIGHTS.read_bytes(), name)


@pytest.mark.parametrize("name", ["tests.hostile:bomb", "tests.hostile:saved"])
def test_a_factory_that_gives_no_network_is_told(name: str) -> None:
    with pytest.raises(FactoryFailed):
        wrap(WEIGHTS.read_bytes(), name)


def test_keywords_for_the_factory_follow_its_name() -> None:
    assert named('a.b:c{"width": 32}') == Arch("a.b:c", {"width": 32})
    with pytest.raises(WeightsDoNotFit):
        wrap(WEIGHTS.read_bytes(), NETS + '{"width": 32}')
    with pytest.raises(NoFactory, match="JSON"):
        wrap(WEIGHTS.read_bytes(), NETS + "{width}")


def test_bare_weights_of_a_built_in_network_come_in_with_its_config() -> None:
    data = hostile.saved(create(LSTM).state_dict())
    artefact = wrap(data, 'lstm{"features": 3, "hidden_sizes": [4]}')
    assert build(artefact)(torch.zeros(1, 2, 3)).shape == (1, 3)
    assert build(load(dump(artefact)))(torch.zeros(1, 2, 3)).shape == (1, 3)
