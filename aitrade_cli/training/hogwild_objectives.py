"""Objectives that cost a process nothing to be handed: their rows lie in shared memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int64
from numpy import ndarray
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.training.loading import SharedWindows
from aitrade_cli.training.loop import Examples, cross_entropy, logits_of


@dataclass
class SharedLabels:
    """Cross-entropy with the classes of windows in shared memory.

    Attributes:
        training: learned from, by every process.
        validation: stays with the process that made this one; copies have none.
    """

    training: SharedWindows
    validation: Examples | None
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return len(self.training)

    def loss(self, network: nn.Module, rows: Int64[ndarray, " n"]) -> Tensor:
        windows, classes = self.training.batch(torch.from_numpy(rows))
        return functional.cross_entropy(network(windows), classes)

    def validation_loss(self, network: nn.Module) -> float:
        assert self.validation is not None  # only copies lack it, and nobody asks them
        return cross_entropy(logits_of(network, self.validation.windows), self.validation.classes)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "validation": None}
