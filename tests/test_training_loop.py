from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Arch
from aitrade_cli.training.loop import (
    Epoch,
    Examples,
    Recipe,
    cross_entropy,
    fit,
    fresh,
    logits_of,
)

WINDOW, FEATURES = 8, 3
NETS = {
    "mlp": {"window": WINDOW, "hidden_sizes": [16]},
    "lstm": {"hidden_sizes": [12]},
    "gru": {"hidden_sizes": [12]},
    "tcn": {"channels": [12, 12]},
    "transformer": {"width": 16, "heads": [2], "head_size": 8, "ffn_sizes": [32]},
    "deeplob": {"channels": [8] * 9, "branches": [8] * 5, "hidden_size": 8},
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads than free cores wait for each other, and sums come in another order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def arch(name: str) -> Arch:
    return Arch(name, {"features": FEATURES, "classes": 3, **NETS[name]})


def planted(rows: int, *, seed: int = 0, shuffled: bool = False) -> Examples:
    """Noise whose last three steps of one feature say which class it is."""
    random = np.random.default_rng(seed)
    windows = random.normal(size=(rows, WINDOW, FEATURES)).astype(np.float32)
    signal = windows[:, -3:, 0].sum(axis=1) / math.sqrt(3)
    classes = np.digitize(signal, [-0.43, 0.43]).astype(np.int64)
    return Examples(windows, random.permutation(classes) if shuffled else classes)


def accuracy(network: torch.nn.Module, examples: Examples) -> float:
    return float((logits_of(network, examples.windows).argmax(axis=1) == examples.classes).mean())


@pytest.mark.parametrize("name", NETS)
def test_a_planted_signal_is_learned(name: str) -> None:
    network = fresh(arch(name), seed=1)
    recipe = Recipe(epochs=8, learning_rate=5e-3, batch=16, patience=8)
    run = fit(network, planted(600), planted(200, seed=1), recipe)
    assert run.best.validation_loss < 0.7 * math.log(3)
    assert accuracy(network, planted(500, seed=2)) > 0.7


def test_shuffled_labels_give_no_edge() -> None:
    network = fresh(arch("gru"), seed=1)
    recipe = Recipe(epochs=8, learning_rate=5e-3, batch=16, patience=8)
    run = fit(network, planted(600, shuffled=True), planted(200, seed=1, shuffled=True), recipe)
    unseen = planted(2000, seed=2, shuffled=True)
    # Four standard errors of 2,000 coin tosses at a third.
    assert abs(accuracy(network, unseen) - 1 / 3) < 4 * math.sqrt(2 / 9 / 2000)
    assert run.best.validation_loss > 1.05


@pytest.mark.parametrize("name", ["gru", "tcn", "transformer"])
def test_the_same_seed_gives_the_same_bytes(name: str) -> None:
    recipe = Recipe(epochs=2, batch=32, seed=5)
    weights = []
    for _ in range(2):
        network = fresh(arch(name), seed=5)
        fit(network, planted(100), planted(40, seed=1), recipe)
        weights.append(network.state_dict())
    for key, value in weights[0].items():
        assert value.numpy().tobytes() == weights[1][key].numpy().tobytes()


def test_another_seed_gives_other_weights() -> None:
    weights = []
    for seed in (5, 6):
        network = fresh(arch("mlp"), seed=5)
        fit(network, planted(100), planted(40, seed=1), Recipe(epochs=2, batch=32, seed=seed))
        weights.append(network.state_dict()["head.weight"])
    assert not torch.equal(*weights)


def test_global_randomness_and_the_network_s_mode_are_left_alone() -> None:
    before = torch.get_rng_state()
    network = fresh(arch("mlp"), seed=1)
    fit(network, planted(64), planted(32), Recipe(epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    network.train()
    logits_of(network, planted(4).windows)
    assert network.training


def test_the_weights_of_the_best_epoch_come_back() -> None:
    network = fresh(arch("mlp"), seed=1)
    validation = planted(200, seed=1, shuffled=True)
    told: list[Epoch] = []
    recipe = Recipe(epochs=30, learning_rate=3e-2, patience=4)
    run = fit(network, planted(200), validation, recipe, told.append)
    assert run.epochs == tuple(told)
    losses = [epoch.validation_loss for epoch in told]
    assert run.best.validation_loss == min(losses)
    assert len(told) == run.best.number + 4 < 30
    found = cross_entropy(logits_of(network, validation.windows), validation.classes)
    assert found == pytest.approx(min(losses), abs=1e-7)


def test_batches_change_no_logit() -> None:
    network, windows = fresh(arch("tcn"), seed=1), planted(50).windows
    whole, parts = logits_of(network, windows, batch=50), logits_of(network, windows, batch=7)
    np.testing.assert_allclose(parts, whole, atol=1e-6)


def test_overlapping_windows_need_no_copy_beforehand() -> None:
    rows = np.random.default_rng(0).normal(size=(60, FEATURES)).astype(np.float32)
    view = np.lib.stride_tricks.sliding_window_view(rows, WINDOW, axis=0).transpose(0, 2, 1)
    network = fresh(arch("lstm"), seed=1)
    assert not view.flags["C_CONTIGUOUS"]
    np.testing.assert_allclose(logits_of(network, view), logits_of(network, view.copy()), atol=1e-7)


def test_cross_entropy_of_chance() -> None:
    loss = cross_entropy(np.zeros((4, 3), dtype=np.float32), np.array([0, 1, 2, 0]))
    assert loss == pytest.approx(math.log(3), abs=1e-6)


def test_nothing_to_train_on_is_an_error() -> None:
    network = fresh(arch("mlp"), seed=1)
    with pytest.raises(BadInput, match="nothing to train on"):
        fit(network, planted(0), planted(3), Recipe())


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    network = fresh(arch("mlp"), seed=1)
    spoiled = planted(32)
    spoiled.windows[3] = np.nan
    with pytest.raises(BadInput, match="epoch 1 is not finite"):
        fit(network, planted(32), spoiled, Recipe(epochs=2))
