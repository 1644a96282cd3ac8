"""Where a run stands between two steps: tensors and plain data, nothing that runs code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

FORMAT: Final = 2


@dataclass(frozen=True, slots=True)
class Epoch:
    """How one pass over the training windows went."""

    number: int  # from 1
    training_loss: float  # mean while learning; nats, where it is a cross-entropy
    validation_loss: float  # after the pass, same unit
    best: bool  # no earlier pass was better by the criterion that chooses the weights
    figures: Mapping[str, float | None] = field(default_factory=dict)  # others, on validation


@dataclass(frozen=True, slots=True)
class Position:
    """How far a run has come.

    Attributes:
        step: optimizer steps taken, those that the loss scaler skipped included.
        pass_step: of them, in the pass under way.
        order: rows of the pass under way, in the order in which they are visited.
        total: sum of the training loss over the ``seen`` windows of the pass so far.
        skipped: steps that changed no weight, because a gradient overflowed in float16.
        stopped: why it ended early; empty where it did not.
    """

    step: int = 0
    pass_step: int = 0
    order: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    total: float = 0.0
    seen: int = 0
    skipped: int = 0
    stopped: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Everything that decides how a run goes on.

    Attributes:
        epochs: passes so far; early stopping follows from them alone.
        weights: of the network, and of the objective's helper.
        best: weights of the network after the best pass.
        optimizer: its moments; ``schedule``: where on the curve the learning rate is;
            ``scaler``: of the loss, for float16.
        random: the generator that shuffles, and those of torch, numpy and Python.
        average: moving average of the weights, where there is one.
        callbacks: of each callback, by its name.
    """

    epochs: tuple[Epoch, ...]
    position: Position
    weights: dict[str, Tensor]
    helper: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Any]
    schedule: dict[str, Any]
    scaler: dict[str, Any]
    random: dict[str, Any]
    average: dict[str, Any]
    callbacks: dict[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """Nested plain data that `torch.load(weights_only=True)` opens once it is saved."""
        plain = {name: getattr(self, name) for name in PARTS}
        position = {name: getattr(self.position, name) for name in POSITIONS}
        epochs = [asdict(epoch) for epoch in self.epochs]
        return {"format": FORMAT, "epochs": epochs, "position": position, **plain}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> State:
        """The same state.

        Raises:
            KeyError: a part is missing.
            ValueError: it was written by another format.
            TypeError: a part is something else.
        """
        if data["format"] != FORMAT:
            raise ValueError(f"format `{data['format']}`, not `{FORMAT}`")
        epochs = tuple(Epoch(**one) for one in data["epochs"])
        return State(epochs, Position(**data["position"]), **{name: data[name] for name in PARTS})


PARTS: Final = (
    "weights",
    "helper",
    "best",
    "optimizer",
    "schedule",
    "scaler",
    "random",
    "average",
    "callbacks",
)
POSITIONS: Final = ("step", "pass_step", "order", "total", "seen", "skipped", "stopped")


def own_memory(value: Any) -> Any:  # noqa: ANN401 -- a nest of anything plain
    """The same nest of tensors and plain data, in memory that no step changes."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: own_memory(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(own_memory(one) for one in value)
    return value
