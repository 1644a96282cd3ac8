from __future__ import annotations

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from aitrade_cli.market.features import DEFAULT_FEATURES
from aitrade_cli.model.architectures import (
    ARCHITECTURES,
    FIXED_TIME,
    UnknownArchitecture,
    WrongConfig,
    create,
)
from aitrade_cli.model.architectures.tcn import TCN
from aitrade_cli.model.architectures.transformer import Transformer
from aitrade_cli.model.card import Arch

FREE_TIME = sorted(set(ARCHITECTURES) - FIXED_TIME)
SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"window": 9, "hidden_sizes": [8, 5]},
    "lstm": {"hidden_sizes": [6, 4]},
    "gru": {"hidden_sizes": [6, 4]},
    "tcn": {"channels": [6, 4, 4], "inner_channels": [3, 5, 2], "kernel_size": 2},
    "transformer": {"width": 12, "heads": [2, 3], "head_size": 4, "ffn_sizes": [16, 9]},
    "deeplob": {
        "channels": [3, 4, 5, 6, 5, 4, 3, 4, 5],
        "branches": [2, 3, 4, 5, 6],
        "hidden_size": 6,
    },
}


def small(name: str, *, features: int = 7, classes: int = 3) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = {"features": features, "classes": classes, **SMALL[name]}
        return create(Arch(name, config)).eval()


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def test_all_six_of_the_promise_are_registered() -> None:
    assert set(ARCHITECTURES) == {"mlp", "lstm", "gru", "tcn", "transformer", "deeplob"}


@pytest.mark.parametrize("name", FREE_TIME)
@given(batch=st.integers(1, 5), time=st.integers(1, 40), features=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_any_batch_and_any_length_gives_logits(
    name: str, batch: int, time: int, features: int
) -> None:
    logits = small(name, features=features)(noise(batch, time, features))
    assert logits.shape == (batch, 3)
    assert logits.isfinite().all()


@given(batch=st.integers(1, 5), window=st.integers(1, 40), features=st.integers(1, 9))
@settings(max_examples=15, deadline=None)
def test_the_perceptron_takes_its_own_length(batch: int, window: int, features: int) -> None:
    network = create(Arch("mlp", {"features": features, "window": window, "hidden_sizes": [4]}))
    assert network(noise(batch, window, features)).shape == (batch, 3)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        network(noise(batch, window + 1, features))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rows_of_a_batch_do_not_mix(name: str) -> None:
    network, windows = small(name), noise(4, 9, 7)
    alone = torch.cat([network(row[None]) for row in windows])
    torch.testing.assert_close(network(windows), alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_weight_gets_a_gradient(name: str) -> None:
    network = small(name).train()
    network(noise(6, 9, 7)).square().sum().backward()
    silent = [key for key, weight in network.named_parameters() if weight.grad is None]
    assert silent == []


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_default_sizes_are_a_trading_desk_s(name: str) -> None:
    with torch.device("meta"):
        network = create(Arch(name, {"features": len(DEFAULT_FEATURES)}))
    assert 100_000 <= count(network) <= 3_300_000


def test_sizes_are_what_the_formulas_say() -> None:
    features, hidden = 20, 128
    with torch.device("meta"):
        made = {n: count(create(Arch(n, {"features": features}))) for n in ARCHITECTURES}
    head = hidden * 3 + 3
    gates = [hidden * (features + hidden) + 2 * hidden, hidden * 2 * hidden + 2 * hidden]
    assert made["lstm"] == 4 * sum(gates) + head
    assert made["gru"] == 3 * sum(gates) + head
    assert made["mlp"] == 64 * features * 512 + 512 + 512 * 512 + 512 + 512 * 3 + 3
    convs = (features * 64 * 3 + 64) + 11 * (64 * 64 * 3 + 64) + (features * 64 + 64)
    assert made["tcn"] == convs + 64 * 3 + 3
    layer = 12 * 256 * 256 + (3 + 1 + 4 + 1) * 256 + 4 * 256
    outside = (features * 256 + 256) + 16 * 256 + 2 * 256 + (256 * 3 + 3)
    assert made["transformer"] == 4 * layer + outside


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_is_allocated_on_meta_and_weights_move_in(name: str) -> None:
    source = small(name)
    with torch.device("meta"):
        copy = create(Arch(name, {"features": 7, "classes": 3, **SMALL[name]})).eval()
    assert all(weight.is_meta for weight in copy.parameters())
    copy.load_state_dict(source.state_dict(), assign=True)
    assert torch.equal(copy(noise(2, 9, 7)), source(noise(2, 9, 7)))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_no_network_keeps_a_buffer(name: str) -> None:
    assert list(small(name).buffers()) == []


@given(cut=st.integers(1, 29), seed=st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_the_tcn_sees_no_later_step(cut: int, seed: int) -> None:
    network = small("tcn")
    assert isinstance(network, TCN)
    window = noise(2, 30, 7)
    changed = window.clone()
    changed[:, cut:] = torch.randn(2, 30 - cut, 7, generator=torch.Generator().manual_seed(seed))
    before, after = network.trace(window), network.trace(changed)
    torch.testing.assert_close(after[:, :, :cut], before[:, :, :cut], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(after[:, :, cut:], before[:, :, cut:], atol=1e-6)


def test_a_convolution_that_pads_both_sides_would_be_noticed() -> None:
    network = small("tcn")
    assert isinstance(network, TCN)
    window = noise(1, 30, 7)
    signal, changed = window.transpose(1, 2), window.clone().transpose(1, 2)
    changed[:, :, 20:] = 0
    both_sides = nn.Conv1d(7, 4, 3, padding=1)
    assert not torch.allclose(both_sides(signal)[:, :, :20], both_sides(changed)[:, :, :20])


def test_the_tcn_looks_back_exactly_its_receptive_field() -> None:
    network = small("tcn")
    assert isinstance(network, TCN)
    reach = network.receptive_field
    assert reach == 1 + 2 * (2 - 1) * (1 + 2 + 4)
    with torch.no_grad():
        for weight in network.parameters():
            weight.abs_()  # so that no ReLU cuts a path off
    window = torch.ones(1, reach + 3, 7, requires_grad=True)
    network(window).square().sum().backward()
    assert window.grad is not None
    moved = window.grad.abs().sum(dim=(0, 2)) > 0
    assert not moved[:3].any()
    assert moved[3]


def test_the_transformer_tells_steps_apart_by_their_age() -> None:
    network = small("transformer")
    assert isinstance(network, Transformer)
    longer, shorter = network.waves(noise(1, 12, 7)), network.waves(noise(1, 5, 7))
    torch.testing.assert_close(longer[-5:], shorter)
    window = noise(1, 9, 7)
    swapped = window.clone()
    swapped[:, [1, 4]] = window[:, [4, 1]]
    assert not torch.allclose(network(window), network(swapped), atol=1e-5)


def test_attention_equals_its_formula() -> None:
    attention = small("transformer").get_submodule("layers.0.attention")
    steps = noise(1, 5, 12)
    weight, bias = (value.detach() for value in attention.query_key_value.parameters())  # type: ignore[union-attr]
    projected = steps[0] @ weight.T + bias
    heads = []
    for head in range(2):
        query, key, value = (
            projected[:, 8 * part + 4 * head : 8 * part + 4 * head + 4] for part in range(3)
        )
        scores = query @ key.T / 4**0.5
        shares = scores.exp() / scores.exp().sum(dim=1, keepdim=True)
        heads.append(shares @ value)
    by_hand = attention.output(torch.cat(heads, dim=1))  # type: ignore[operator]
    torch.testing.assert_close(attention(steps)[0], by_hand, atol=1e-6, rtol=1e-5)


# The exporter warns of what this test then checks: batches and lengths other than the traced ones.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_onnx_runtime_computes_the_same(name: str, tmp_path: Path) -> None:
    network, path = small(name), tmp_path / "net.onnx"
    axes = {0: "batch"} if name in FIXED_TIME else {0: "batch", 1: "time"}
    torch.onnx.export(
        network,
        (noise(2, 9, 7),),
        path,
        dynamo=False,
        input_names=["window"],
        dynamic_axes={"window": axes},
    )
    session = onnxruntime.InferenceSession(path)
    lengths = [9] if name in FIXED_TIME else [1, 9, 20]
    for length in lengths:
        window = noise(3, length, 7)
        (found,) = session.run(None, {"window": window.numpy()})
        torch.testing.assert_close(torch.from_numpy(found), network(window), atol=1e-5, rtol=1e-5)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownArchitecture, match="`rnn`") as caught:
        create(Arch("rnn"))
    assert "transformer" in caught.value.hint


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"features": 7, "colour": 3},
        {"features": 0},
        {"features": True},
        {"features": "7"},
        {"features": 7, "hidden_sizes": 10**9},
        {"features": 7, "hidden_sizes": [1 << 20]},
        {"features": 7, "hidden_sizes": [4] * 1000},
        {"features": 7, "hidden_sizes": [[4]]},
        {"features": 7, "hidden_sizes": [float("nan")]},
    ],
)
def test_a_config_that_does_not_fit_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(WrongConfig), torch.device("meta"):
        create(Arch("lstm", config))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("tcn", {"features": 7, "channels": [4] * 40}),
        ("tcn", {"features": 7, "channels": [4, 4], "inner_channels": [4]}),
        ("transformer", {"features": 7, "heads": [2], "ffn_sizes": [8, 8]}),
        ("deeplob", {"features": 7, "channels": [3, 3]}),
    ],
)
def test_parts_that_contradict_each_other_are_refused(name: str, config: dict[str, Any]) -> None:
    with pytest.raises(WrongConfig, match=name):
        create(Arch(name, config))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    first, second = small(name).state_dict(), small(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
