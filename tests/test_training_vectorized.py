"""Vectorized work is the loop's: per-row gradients, noise, and ensembles."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Arch
from aitrade_cli.replay.learning.batch_size import gradient_sample
from aitrade_cli.training.loop import fresh
from aitrade_cli.training.vectorized import Ensemble, NotVectorized, noise_of, row_gradients

CLOSE = 1e-6
NETWORKS = {
    "mlp": {"window": 8, "hidden_sizes": [6, 6]},
    "tcn": {"channels": [6, 6]},
    "transformer": {"width": 8, "heads": [2], "head_size": 4, "ffn_sizes": [16]},
}


def small(name: str, seed: int = 3) -> nn.Module:
    return fresh(Arch(name, {"features": 5, **NETWORKS[name]}), seed)


def rows(count: int = 7) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(count, 8, 5, generator=draw), torch.randint(0, 3, (count,), generator=draw)


def one_by_one(network: nn.Module, inputs: Tensor, targets: Tensor) -> list[dict[str, Tensor]]:
    found = []
    for row, target in zip(inputs, targets, strict=True):
        network.zero_grad()
        functional.cross_entropy(network(row[None]), target[None]).backward()
        told = {name: value.grad for name, value in network.named_parameters()}
        found.append({name: slope.clone() for name, slope in told.items() if slope is not None})
    return found


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_each_row_has_the_gradient_that_it_has_alone(name: str) -> None:
    network, (inputs, targets) = small(name), rows()
    together = row_gradients(network, functional.cross_entropy, inputs, targets)
    for number, alone in enumerate(one_by_one(network, inputs, targets)):
        assert together.keys() == alone.keys()
        for key, slope in alone.items():
            assert (together[key][number] - slope).abs().max() <= CLOSE


def test_frozen_parameters_have_no_gradient() -> None:
    network = small("mlp")
    network.get_parameter("head.weight").requires_grad_(False)
    found = row_gradients(network, functional.cross_entropy, *rows())
    assert "head.weight" not in found
    assert "head.bias" in found


def test_noise_is_what_the_rows_one_by_one_say() -> None:
    network, (inputs, targets) = small("mlp"), rows(20)
    alone = one_by_one(network, inputs, targets)
    flat = np.stack([torch.cat([s.flatten() for s in one.values()]).numpy() for one in alone])
    wanted, found = (
        gradient_sample(flat.astype(np.float64), 1),
        noise_of(network, functional.cross_entropy, inputs, targets),
    )
    assert found.variance == pytest.approx(wanted.variance, rel=1e-5)
    assert found.square == pytest.approx(wanted.square, rel=1e-4)


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_an_ensemble_answers_as_its_members_do(name: str) -> None:
    members, (inputs, _) = [small(name, seed) for seed in range(3)], rows()
    wanted = torch.stack([network(inputs) for network in members])
    assert (Ensemble.of(members)(inputs) - wanted).abs().max() <= CLOSE


def test_an_ensemble_trains_as_its_members_would_alone() -> None:
    members, (inputs, targets) = [small("mlp", seed) for seed in range(3)], rows()
    alone = deepcopy(members)
    for network in alone:
        optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
        for _ in range(5):
            optimizer.zero_grad()
            functional.cross_entropy(network(inputs), targets).backward()
            optimizer.step()
    ensemble = Ensemble.of(members)
    optimizer = torch.optim.AdamW(ensemble.parameters(), lr=1e-3)
    for _ in range(5):
        optimizer.zero_grad()
        said = ensemble(inputs)
        losses = [functional.cross_entropy(one, targets) for one in said]
        torch.stack(losses).sum().backward()
        optimizer.step()
    ensemble.into(members)
    for network, other in zip(members, alone, strict=True):
        for value, wanted in zip(network.parameters(), other.parameters(), strict=True):
            assert (value - wanted).abs().max() <= CLOSE


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_recurrent_networks_are_refused_by_name(name: str) -> None:
    network = fresh(Arch(name, {"features": 5, "hidden_sizes": [4]}), 0)
    with pytest.raises(NotVectorized, match="is recurrent"):
        Ensemble.of([network])
    with pytest.raises(NotVectorized, match="is recurrent"):
        row_gradients(network, functional.cross_entropy, *rows())


def test_members_that_are_not_alike_are_refused() -> None:
    with pytest.raises(BadInput, match="alike"):
        Ensemble.of([nn.Linear(2, 2), nn.Linear(2, 3)])
    with pytest.raises(BadInput, match="at least one"):
        Ensemble.of([])
