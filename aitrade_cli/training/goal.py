"""What a run is for, who takes part in it, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64
from torch import Tensor, nn

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.state import Epoch


@dataclass(frozen=True, slots=True)
class Fit:
    """All passes of one training run; the network holds the weights of the best.

    Attributes:
        steps: optimizer steps taken; ``skipped``: of them, those that overflowed in float16.
        stopped: why it ended before the last epoch; empty where it did not.
    """

    epochs: tuple[Epoch, ...]
    steps: int = 0
    skipped: int = 0
    stopped: str = ""

    @property
    def best(self) -> Epoch:
        """The pass whose weights were kept; the last where a hook let none count."""
        return next((epoch for epoch in reversed(self.epochs) if epoch.best), self.epochs[-1])


@runtime_checkable
class Objective(Protocol):
    """What a network is trained towards.

    Attributes:
        helper: trained along with the network and thrown away after, such as a projection.

    Three methods more are asked for where they are there. ``share(network, rows, window)`` is what
    some rows contribute to the loss over a whole window of rows, so that the shares of its parts
    add up to ``loss(network, window)``; without it each row weighs the same, which is wrong
    where some carry no label. ``figures(network)`` names other figures of the validation
    windows, such as the Sharpe ratio, right after ``validation_loss``. ``coming(parts)`` is told
    at the start of a pass which rows will be asked for, in this order.
    """

    helper: nn.Module

    def __len__(self) -> int:
        """Training windows."""
        ...

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        """Mean loss over these training windows, to be differentiated."""
        ...

    def validation_loss(self, network: nn.Module) -> float:
        """Mean loss over windows that are not trained on."""
        ...


def never() -> bool:
    """Nobody says that it is enough."""
    return False


@dataclass(frozen=True, slots=True)
class Hooks:
    """Where others take part in a run.

    Attributes:
        after_step: given the network, how many steps were taken and how many there will be at
            the most; may change weights in place. A schedule of sparsity is one.
        counts: given a pass' number, whether its weights may be kept. A schedule that has not
            arrived yet says no.
        enough: asked after each step; the run ends there when it says yes.
        callbacks: told in this order, after the functions above; what writes states comes last.
    """

    after_step: Callable[[nn.Module, int, int], None] | None = None
    counts: Callable[[int], bool] = lambda _: True
    enough: Callable[[], bool] = never
    callbacks: tuple[Callback, ...] = ()


NO_HOOKS = Hooks()
