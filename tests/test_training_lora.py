"""Adapters: the numbers of a small case by hand, every kind of layer, and what proof notices."""

from __future__ import annotations

import math
from copy import deepcopy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float
from torch import Tensor, nn

from aitrade_cli.model.architectures import ARCHITECTURES
from aitrade_cli.model.card import Arch
from aitrade_cli.training import lora_proof
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.lora import (
    Adapted,
    BadLora,
    LoraSettings,
    LowRank,
    NothingToAdapt,
    SharedWeight,
    adapt,
    settings_of,
)
from aitrade_cli.training.lora_proof import AdaptersDoNotWork, LoraProof, doubt, prove

SMALL = {
    "mlp": {"window": 8, "hidden_sizes": [6, 6]},
    "lstm": {"hidden_sizes": [6, 6]},
    "gru": {"hidden_sizes": [6]},
    "tcn": {"channels": [6, 6]},
    "transformer": {"width": 8, "heads": [2], "head_size": 4, "ffn_sizes": [16]},
    "deeplob": {"channels": [8] * 9, "branches": [8] * 5, "hidden_size": 6},
}


def small(name: str) -> nn.Module:
    return fresh(Arch(name, {"features": 5, **SMALL[name]}), seed=3)


def windows(rows: int = 4) -> Tensor:
    return torch.randn(rows, 8, 5, generator=torch.Generator().manual_seed(1))


def encoder(dropout: float = 0.1) -> nn.TransformerEncoder:
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout, batch_first=True)
    return nn.TransformerEncoder(layer, 2)


def shaken(adapted: Adapted) -> Adapted:
    """Give every adapter something to say."""
    draw = torch.Generator().manual_seed(9)
    for place in adapted.places:
        place.adapter.up.data.copy_(torch.randn(place.adapter.up.shape, generator=draw) / 4)
    return adapted


def test_a_weight_and_its_adapter_add_up_as_on_paper() -> None:
    network = nn.Linear(2, 2, bias=False)
    network.weight.data = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    adapted = adapt(network, LoraSettings(rank=1, alpha=2.0))
    adapter = adapted.places[0].adapter
    adapter.up.data = torch.tensor([[1.0], [-1.0]])
    adapter.down.data = torch.tensor([[0.5, 0.25]])
    # W + 2 * [[.5, .25], [-.5, -.25]] = [[2, 2.5], [2, 3.5]]
    assert network(torch.tensor([[1.0, 10.0]])).tolist() == [[27.0, 37.0]]
    assert adapted.merge() is network
    assert network.weight.tolist() == [[2.0, 2.5], [2.0, 3.5]]
    assert type(network) is nn.Linear
    assert network.weight.requires_grad


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_keeps_every_promise(name: str) -> None:
    network = small(name)
    before = deepcopy(network.state_dict())
    proof = prove(network, LoraSettings(rank=2), windows())
    assert proof.adapters >= 2
    assert proof.start == 0.0
    assert proof.modes is not None
    assert doubt(proof) == ""
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_merged_weights_are_the_sum_computed_from_outside(name: str) -> None:
    network = small(name).eval()
    wanted = {key: value.double() for key, value in network.state_dict().items()}
    adapted = shaken(adapt(network, LoraSettings(rank=2, alpha=3.0)))
    for place in adapted.places:
        adapter = place.adapter
        product = adapter.up.detach().double() @ adapter.down.detach().double()
        wanted[place.full_name] += 1.5 * product.view_as(wanted[place.full_name])
    with torch.no_grad():
        beside = network(windows())
    adapted.merge()
    assert list(network.state_dict()) == list(wanted)
    for key, value in network.state_dict().items():
        torch.testing.assert_close(value.double(), wanted[key], atol=1e-6, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(network(windows()), beside, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_only_adapters_are_trained_and_the_rest_stays_to_the_bit(name: str) -> None:
    network = small(name)
    before = {key: value.clone() for key, value in network.named_parameters()}
    adapted = adapt(network, LoraSettings(rank=2))
    named = [key for key, value in network.named_parameters() if value.requires_grad]
    assert len(named) == 2 * len(adapted.places)
    assert all(key.endswith((".0.up", ".0.down")) for key in named)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.5)
    for _ in range(2):
        network(windows()).square().sum().backward()
        optimizer.step()
    now = {
        key.replace("parametrizations.", "").removesuffix(".original"): value
        for key, value in network.named_parameters()
    }
    assert all(now[key].equal(value) for key, value in before.items())


def test_a_recurrent_layer_hears_its_adapters_at_every_call() -> None:
    network = small("lstm")
    before = network(windows()).detach()
    adapted = adapt(network, LoraSettings(rank=2))
    torch.testing.assert_close(network(windows()), before)
    assert not shaken(adapted).network(windows()).allclose(before, atol=1e-3)


def test_a_network_with_adapters_can_be_copied_and_its_weights_put_back() -> None:
    network = small("lstm")
    adapted = shaken(adapt(network, LoraSettings(rank=2)))
    kept = {key: value.clone() for key, value in network.state_dict().items()}
    said = network(windows()).detach()
    twin = deepcopy(network)
    for place in adapted.places:
        place.adapter.up.data.zero_()
    network.load_state_dict(kept)
    assert network(windows()).equal(said)
    assert twin(windows()).equal(said)


@given(rank=st.integers(1, 40), outputs=st.integers(1, 12), inputs=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_no_adapter_is_wider_than_its_weight(rank: int, outputs: int, inputs: int) -> None:
    adapted = adapt(nn.Linear(inputs, outputs), LoraSettings(rank=rank))
    kept = min(rank, outputs, inputs)
    assert adapted.trained == kept * (outputs + inputs)
    assert adapted.optimizer_saved == 1 - adapted.trained / (outputs * inputs + outputs)


def test_one_seed_gives_one_start() -> None:
    first, again, other = (
        adapt(small("gru"), LoraSettings(), seed=seed).places[0].adapter.down for seed in (1, 1, 2)
    )
    assert first.equal(again)
    assert not first.equal(other)


def test_a_pattern_says_which_weights() -> None:
    adapted = adapt(small("transformer"), LoraSettings(only="layers.*.attention.*"))
    assert [place.full_name for place in adapted.places] == [
        "layers.0.attention.query_key_value.weight",
        "layers.0.attention.output.weight",
    ]


def test_a_pattern_that_fits_nothing_names_some_that_would() -> None:
    with pytest.raises(NothingToAdapt) as found:
        adapt(small("mlp"), LoraSettings(only="nothing*"))
    assert "hidden.0.weight" in found.value.hint


def test_one_weight_in_two_places_is_refused() -> None:
    network = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    network[1].weight = network[0].weight
    with pytest.raises(SharedWeight, match=r"0\.weight"):
        adapt(network, LoraSettings())


def test_one_layer_used_twice_has_one_adapter() -> None:
    layer = nn.Linear(4, 4)
    network = nn.Sequential(layer, nn.Tanh(), layer)
    assert prove(network, LoraSettings(rank=1), torch.randn(3, 4)).adapters == 1


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("r=8", LoraSettings()),
        ("r=4,alpha=16", LoraSettings(4, 16.0)),
        (" r=2, only=head* ", LoraSettings(2, only="head*")),
    ],
)
def test_settings_are_read_and_written_alike(text: str, wanted: LoraSettings) -> None:
    assert settings_of(text.strip()) == wanted
    assert settings_of(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text", ["8", "r=", "r=0", "r=x", "rank=8", "r=8,alpha=0", "r=8,alpha=inf", "r=1,r=2", ""]
)
def test_settings_that_say_nothing_are_refused(text: str) -> None:
    with pytest.raises(BadLora):
        settings_of(text)


def deaf_in_evaluation(self: LowRank, weight: Tensor) -> Tensor:
    return weight + (self.scale * self.up @ self.down).view_as(weight) * self.training


def without_a_slope(self: LowRank, weight: Tensor) -> Tensor:
    return weight + (self.scale * self.up.detach() @ self.down).view_as(weight)


def another_sum_each_time(self: LowRank, weight: Tensor) -> Tensor:
    noise = 1.0 + torch.randn(())
    return weight + (self.scale * self.up @ self.down).view_as(weight) * noise


def not_zero_at_first(self: LowRank, weight: Tensor) -> Tensor:
    return weight + ((self.up + 0.1) @ self.down).view_as(weight)


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (deaf_in_evaluation, "not heard in evaluation mode"),
        (without_a_slope, "gets no gradient"),
        (another_sum_each_time, "differ by|changes answers"),
        (not_zero_at_first, "that learned nothing"),
    ],
)
def test_proof_notices_adapters_that_do_not_work(
    monkeypatch: pytest.MonkeyPatch, forward: object, said: str
) -> None:
    monkeypatch.setattr(LowRank, "forward", forward)
    with pytest.raises(AdaptersDoNotWork, match=said):
        prove(small("mlp"), LoraSettings(rank=2), windows())


def test_proof_notices_a_frozen_weight_that_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    def melt(adapted: Adapted, inputs: Tensor) -> None:
        lora_proof_two_steps(adapted, inputs)
        next(iter(adapted.network.parameters())).data.add_(1e-7)

    lora_proof_two_steps = lora_proof.two_steps
    monkeypatch.setattr(lora_proof, "two_steps", melt)
    with pytest.raises(AdaptersDoNotWork, match="is frozen, and changed"):
        prove(small("mlp"), LoraSettings(rank=2), windows())


@pytest.mark.parametrize("bad", [{"effect": 0.0}, {"modes": 1e-4}, {"merged": math.nan}])
def test_a_doubtful_proof_is_doubted(bad: dict[str, float]) -> None:
    good = {"adapters": 1, "start": 0.0, "effect": 0.1, "modes": 0.0, "merged": 0.0}
    assert doubt(LoraProof(**good)) == ""
    assert doubt(LoraProof(**{**good, **bad})) != ""


class Noisy(nn.Module):
    """Dropout that no switch turns off: in training mode it answers otherwise by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)

    def forward(self, window: Float[Tensor, "batch time feature"]) -> Float[Tensor, "batch klass"]:
        said = self.layer(window[:, -1])
        return nn.functional.dropout(said, 0.5, training=self.training)


def test_a_network_whose_modes_differ_by_itself_is_not_blamed_on_its_adapters() -> None:
    assert prove(Noisy(), LoraSettings(rank=2), windows()).modes is None


def test_dropout_is_as_it_was_after_the_proof() -> None:
    network = encoder(dropout=0.25)
    prove(network, LoraSettings(rank=2), torch.randn(2, 3, 8))
    shares = {module.p for module in network.modules() if isinstance(module, nn.Dropout)}
    assert shares == {0.25}
