"""Distil what a teacher sees on the way, not only what it answers: projected features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.errors import BadInput
from aitrade_cli.training.distillation import Answers
from aitrade_cli.training.lessons import Lessons
from aitrade_cli.training.loop import logits_of, tensor_of

AT_ONCE = 256


class NoFeatures(BadInput):
    """The network has no last linear layer, so nothing says what its features are."""

    default_hint = "leave `--features` out: logits can be distilled from any teacher"


@dataclass
class Tap:
    """Reads what enters the last linear layer of a network while it runs."""

    network: nn.Module
    seen: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        linear = [one for one in self.network.modules() if isinstance(one, nn.Linear)]
        if not linear:
            raise NoFeatures("the network has no linear layer that its features enter")
        self.width = linear[-1].in_features
        self._handle = linear[-1].register_forward_pre_hook(
            lambda _module, inputs: self.seen.append(inputs[0])
        )

    def close(self) -> None:
        self._handle.remove()

    def take(self) -> Float[Tensor, "batch width"]:
        """What was seen since the last time; one row a window."""
        features = torch.cat([one.reshape(-1, self.width) for one in self.seen])
        self.seen.clear()
        return features


def features_over(network: nn.Module, lessons: Lessons) -> Float32[np.ndarray, "n width"]:
    """What enters the teacher's last linear layer, for every training row."""
    tap = Tap(network)
    try:
        parts = []
        for start in range(0, len(lessons), AT_ONCE):
            rows = np.arange(start, min(start + AT_ONCE, len(lessons)))
            logits_of(network, lessons.windows_at(rows))
            parts.append(tap.take().numpy())
        return np.concatenate(parts)
    finally:
        tap.close()


@dataclass
class SeenAndSaid:
    r"""Logits as in `distillation.Answers`, and features through a projection learned along.

    The loss gains ``feature_weight`` times the mean squared distance between the teacher's
    features, each scaled to unit variance, and a linear map of the student's.

    Attributes:
        network: the student; it is watched until `close`.
        answers: the part of the loss that logits and labels have.
        features: the teacher's, one row for each training row of the lessons.
        feature_weight: > 0.

    Source:
        Romero et al. 2015, FitNets, equation 3. https://arxiv.org/abs/1412.6550
    """

    network: nn.Module
    answers: Answers
    features: Float32[np.ndarray, "n width"]
    feature_weight: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        self.tap = Tap(self.network)
        mean, std = self.features.mean(axis=0), self.features.std(axis=0)
        self.scaled = ((self.features - mean) / np.where(std > 1e-6, std, 1.0)).astype(np.float32)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.helper: nn.Module = nn.Linear(self.tap.width, self.features.shape[1])

    def __len__(self) -> int:
        return len(self.answers)

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        self.tap.seen.clear()
        said = network(tensor_of(self.answers.lessons.windows_at(rows)))
        seen = self.helper(self.tap.take())
        near = functional.mse_loss(seen, torch.from_numpy(self.scaled[rows]))
        return self.answers.loss_of(said, rows) + self.feature_weight * near

    def validation_loss(self, network: nn.Module) -> float:
        loss = self.answers.validation_loss(network)
        self.tap.seen.clear()
        return loss

    def close(self) -> None:
        self.tap.close()
