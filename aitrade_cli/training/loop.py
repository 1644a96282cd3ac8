"""Train a classifier on windows of bars until it stops improving on bars it does not train on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.errors import BadInput
from aitrade_cli.model.architectures import create
from aitrade_cli.model.card import Arch


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows and the class that each should be given, in time order."""

    windows: Float32[np.ndarray, "n time feature"]
    classes: Int64[np.ndarray, " n"]  # 0 .. classes-1

    def __len__(self) -> int:
        return len(self.classes)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Settings of one training run; the defaults suit some thousand windows on a CPU."""

    epochs: int = 20
    batch: int = 64
    learning_rate: float = 1e-3  # the highest; it rises, then falls along a cosine to zero
    warmup_share: float = 0.1  # of all steps
    weight_decay: float = 1e-2
    clip_norm: float = 1.0
    patience: int = 5  # epochs without a better validation loss before stopping
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one pass over the training windows went."""

    number: int  # from 1
    training_loss: float  # mean cross-entropy while learning, nats
    validation_loss: float  # after the pass, nats
    best: bool  # no earlier pass had a lower validation loss


@dataclass(frozen=True, slots=True)
class Fit:
    """All passes of one training run; the network holds the weights of the best."""

    epochs: tuple[Epoch, ...]

    @property
    def best(self) -> Epoch:
        return [epoch for epoch in self.epochs if epoch.best][-1]


def fresh(arch: Arch, seed: int) -> nn.Module:
    """Build a network whose first weights depend on ``seed`` alone; the global seed is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(arch)


def logits_of(
    network: nn.Module, windows: Float32[np.ndarray, "n time feature"], *, batch: int = 256
) -> Float32[np.ndarray, "n klass"]:
    """Logits of every window, in evaluation mode. The network's mode is put back."""
    training = network.training
    network.eval()
    with torch.inference_mode():
        parts = [
            network(_tensor(windows[start : start + batch])).numpy()
            for start in range(0, len(windows), batch)
        ]
    network.train(training)
    return np.concatenate(parts)


def cross_entropy(
    logits: Float32[np.ndarray, "n klass"], classes: Int64[np.ndarray, " n"]
) -> float:
    """Mean negative log probability of the right class, in nats; chance among three is 1.0986."""
    return functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(classes)).item()


def fit(
    network: nn.Module,
    training: Examples,
    validation: Examples,
    recipe: Recipe,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> Fit:
    """Train with AdamW and keep the weights of the epoch with the lowest validation loss.

    Same network, examples, recipe and thread count give the same weights, bit by bit.

    Args:
        network: trained in place; left in evaluation mode with the best weights.
        training: what is learned from, visited in another order each epoch.
        validation: decides when to stop. Its figures are too good to be reported as a result:
            it chose the weights.
        recipe: settings.
        on_epoch: told about each pass as it ends.

    Raises:
        BadInput: no examples, or a loss that is not finite.

    Source:
        Loshchilov and Hutter 2019. https://arxiv.org/abs/1711.05101
    """
    if not len(training) or not len(validation) or recipe.epochs < 1:
        raise BadInput("nothing to train on: examples and epochs must both be at least one")
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * math.ceil(len(training) / recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _warm_cosine(steps, recipe))
    order = torch.Generator().manual_seed(recipe.seed)
    epochs: list[Epoch] = []
    weights = _copy(network)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)  # for dropout, where a network has it
        for number in range(1, recipe.epochs + 1):
            training_loss = _one_pass(network, training, recipe, optimizer, schedule, order)
            loss = cross_entropy(logits_of(network, validation.windows), validation.classes)
            if not math.isfinite(loss):
                raise BadInput(f"the validation loss of epoch {number} is not finite")
            best = all(loss < earlier.validation_loss for earlier in epochs)
            epochs.append(Epoch(number, training_loss, loss, best))
            on_epoch(epochs[-1])
            if best:
                weights = _copy(network)
            if number - Fit(tuple(epochs)).best.number >= recipe.patience:
                break
    network.load_state_dict(weights)
    network.eval()
    return Fit(tuple(epochs))


def _one_pass(
    network: nn.Module,
    training: Examples,
    recipe: Recipe,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LambdaLR,
    order: torch.Generator,
) -> float:
    network.train()
    total = 0.0
    for rows in torch.randperm(len(training), generator=order).split(recipe.batch):
        picked = rows.numpy()
        logits = network(_tensor(training.windows[picked]))
        loss = functional.cross_entropy(logits, torch.from_numpy(training.classes[picked]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
        optimizer.step()
        schedule.step()
        total += loss.item() * len(picked)
    return total / len(training)


def _warm_cosine(steps: int, recipe: Recipe) -> Callable[[int], float]:
    warm = max(1, round(steps * recipe.warmup_share))

    def factor(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))

    return factor


def _tensor(windows: Float32[np.ndarray, "n time feature"]) -> Tensor:
    # A run of overlapping windows is one strided view; torch wants memory of its own.
    return torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))


def _copy(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in network.state_dict().items()}
