"""Train a classifier on windows of bars until it stops improving on bars it does not train on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.model.architectures import create
from aitrade_cli.model.card import Arch
from aitrade_cli.training.run import (
    NO_HOOKS,
    Epoch,
    Fit,
    Hooks,
    Recipe,
    State,
    device_of,
    pursue,
)


@dataclass(frozen=True, slots=True)
class Examples:
    """Windows and the class that each should be given, in time order."""

    windows: Float32[np.ndarray, "n time feature"]
    classes: Int64[np.ndarray, " n"]  # 0 .. classes-1

    def __len__(self) -> int:
        return len(self.classes)


@runtime_checkable
class Feed(Protocol):
    """Who cuts batches ahead of use: `feeding.Feeder`."""

    def coming(self, parts: Iterable[Tensor]) -> None: ...

    def draw(self, rows: Int64[np.ndarray, " n"]) -> tuple[Tensor, ...]: ...


@dataclass
class Labels:
    """Cross-entropy with the classes.

    Attributes:
        feed: hands out training windows that were cut ahead of use; None cuts them when asked.
    """

    training: Examples
    validation: Examples
    helper: nn.Module = field(default_factory=nn.Identity)
    feed: Feed | None = field(default=None, kw_only=True)

    def __len__(self) -> int:
        return min(len(self.training), len(self.training) * len(self.validation))

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        return functional.cross_entropy(*self.answers(network, rows))

    def share(
        self,
        network: nn.Module,
        rows: Int64[np.ndarray, " k"],
        window: Int64[np.ndarray, " n"],
    ) -> Tensor:
        """What ``rows`` contribute to ``loss(network, window)``."""
        logits, classes = self.answers(network, rows)
        return functional.cross_entropy(logits, classes, reduction="sum") / len(window)

    def answers(
        self, network: nn.Module, rows: Int64[np.ndarray, " n"]
    ) -> tuple[Float[Tensor, "n klass"], Int64[Tensor, " n"]]:
        """Logits of these training windows, and their classes beside them."""
        windows, classes = self.drawn(rows)
        logits = network(windows.to(device_of(network)))
        return logits, classes.to(logits.device)

    def drawn(self, rows: Int64[np.ndarray, " n"]) -> tuple[Tensor, Tensor]:
        """These training windows and their classes, on the CPU."""
        if self.feed is None:
            classes = torch.from_numpy(self.training.classes[rows])
            return tensor_of(self.training.windows[rows]), classes
        windows, classes = self.feed.draw(rows)
        return windows, classes

    def coming(self, parts: Iterable[Tensor]) -> None:
        """What a pass will ask for, in this order."""
        if self.feed is not None:
            self.feed.coming(parts)

    def validation_loss(self, network: nn.Module) -> float:
        return cross_entropy(logits_of(network, self.validation.windows), self.validation.classes)


def fresh(arch: Arch, seed: int) -> nn.Module:
    """Build a network whose first weights depend on ``seed`` alone; the global seed is kept."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(arch)


def logits_of(
    network: nn.Module, windows: Float32[np.ndarray, "n time feature"], *, batch: int = 256
) -> Float32[np.ndarray, "n klass"]:
    """Logits of every window, in evaluation mode. The network's mode is put back."""
    training, device = network.training, device_of(network)
    network.eval()
    with torch.inference_mode():
        parts = [
            network(tensor_of(windows[start : start + batch]).to(device)).cpu().numpy()
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
    *,
    hooks: Hooks = NO_HOOKS,
    state: State | None = None,
) -> Fit:
    """Train a classifier on labels: `pursue` with cross-entropy.

    Args:
        network: trained in place; left in evaluation mode with the best weights.
        training: what is learned from, visited in another order each epoch.
        validation: decides when to stop. Its figures are too good to be reported as a result:
            it chose the weights.
        recipe: settings.
        on_epoch: told about each pass as it ends.
        hooks: others that take part.
        state: of an earlier run that was cut off; it goes on from there.

    Raises:
        BadInput: no examples, or a loss that is not finite.
    """
    return pursue(network, Labels(training, validation), recipe, on_epoch, hooks=hooks, state=state)


def tensor_of(windows: Float32[np.ndarray, "n time feature"]) -> Tensor:
    """Windows as torch wants them: a run of overlapping windows is one strided view."""
    return torch.from_numpy(np.ascontiguousarray(windows, dtype=np.float32))
