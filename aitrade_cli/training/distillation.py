"""Train a small network towards what a large one answers."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.errors import BadInput
from aitrade_cli.training.labels import UNKNOWN
from aitrade_cli.training.lessons import MIXED, Lessons, lessons_from, lessons_of, logits_over
from aitrade_cli.training.loop import logits_of, tensor_of
from aitrade_cli.training.material import Material
from aitrade_cli.training.policies import value_loss
from aitrade_cli.training.run import NO_HOOKS, Epoch, Fit, Hooks, Recipe, State, pursue

__all__ = [
    "TEACHER_ALONE",
    "Answers",
    "Distillation",
    "Lessons",
    "lessons_of",
    "logits_over",
    "mixed_loss",
    "recover",
    "soft_loss",
]


@dataclass(frozen=True, slots=True)
class Distillation:
    """How much of the loss is the teacher's, and how soft its answers are made.

    Attributes:
        temperature: both sides' logits are divided by it, > 0. Above 1 the teacher's second
            choice is heard too.
        weight: share of the loss that is the teacher's, 0..1; the rest is the labels'.
    """

    temperature: float = 2.0
    weight: float = 0.9

    def __post_init__(self) -> None:
        if self.temperature <= 0 or not 0.0 <= self.weight <= 1.0:
            raise BadInput(
                f"temperature `{self.temperature}` and weight `{self.weight}` are out of range:"
                " wanted above 0, and 0 to 1"
            )


TEACHER_ALONE = Distillation(temperature=1.0, weight=1.0)


def soft_loss(
    student: Float[Tensor, "batch klass"],
    teacher: Float[Tensor, "batch klass"],
    temperature: float,
) -> Float[Tensor, ""]:
    r"""$T^2 \, \mathrm{KL}(\mathrm{softmax}(z_t / T) \,\|\, \mathrm{softmax}(z_s / T))$, a mean.

    The factor keeps gradients as large as those of the labels, whatever the temperature. One
    column is a value, no class: the softmax of it is always 1, so Huber's loss stands in.

    Source:
        Hinton, Vinyals and Dean 2015, section 2. https://arxiv.org/abs/1503.02531
    """
    if teacher.shape[1] == 1:
        return value_loss(student[:, 0], teacher[:, 0])
    told = functional.log_softmax(teacher / temperature, dim=1)
    said = functional.log_softmax(student / temperature, dim=1)
    divergence = functional.kl_div(said, told, reduction="batchmean", log_target=True)
    return divergence * temperature**2


def mixed_loss(
    student: Float[Tensor, "batch klass"],
    teacher: Float[Tensor, "batch klass"],
    classes: Int64[Tensor, " batch"],
    distillation: Distillation,
) -> Float[Tensor, ""]:
    """The teacher's share and the labels' share of one loss; ``UNKNOWN`` classes have none."""
    soft = soft_loss(student, teacher, distillation.temperature)
    if distillation.weight == 1.0 or teacher.shape[1] == 1:  # a value has no class to be right in
        return soft
    known = int((classes != UNKNOWN).sum())
    hard = summed_loss(student, classes) / max(1, known)
    return distillation.weight * soft + (1.0 - distillation.weight) * hard


def summed_loss(
    student: Float[Tensor, "batch klass"], classes: Int64[Tensor, " batch"]
) -> Float[Tensor, ""]:
    """Cross-entropy with the labels that there are, added up."""
    return functional.cross_entropy(student, classes, ignore_index=UNKNOWN, reduction="sum")


@dataclass
class Answers:
    """The objective of distilling logits; validation is the same loss on later windows."""

    lessons: Lessons
    distillation: Distillation
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return len(self.lessons) if len(self.lessons.validation) else 0

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        said = network(tensor_of(self.lessons.windows_at(rows)))
        return self.loss_of(said, rows)

    def loss_of(self, said: Float[Tensor, "n klass"], rows: Int64[np.ndarray, " n"]) -> Tensor:
        """Loss of the student's logits for these training windows."""
        logits = torch.from_numpy(self.lessons.logits_at(rows))
        classes = torch.from_numpy(self.lessons.classes_at(rows))
        return mixed_loss(said, logits, classes, self.distillation)

    def share(
        self,
        network: nn.Module,
        rows: Int64[np.ndarray, " k"],
        window: Int64[np.ndarray, " n"],
    ) -> Tensor:
        """What ``rows`` contribute to the loss over ``window``: labels weigh by how many know."""
        said = network(tensor_of(self.lessons.windows_at(rows)))
        logits = torch.from_numpy(self.lessons.logits_at(rows))
        weight = self.distillation.weight if logits.shape[1] > 1 else 1.0
        soft = soft_loss(said, logits, self.distillation.temperature) * (len(rows) / len(window))
        if weight == 1.0:
            return soft
        known = int((self.lessons.classes_at(window) != UNKNOWN).sum())
        hard = summed_loss(said, torch.from_numpy(self.lessons.classes_at(rows))) / max(1, known)
        return weight * soft + (1.0 - weight) * hard

    def validation_loss(self, network: nn.Module) -> float:
        lessons = self.lessons
        return mixed_loss(
            torch.from_numpy(logits_of(network, lessons.validation.windows)),
            torch.from_numpy(lessons.validation_logits),
            torch.from_numpy(lessons.validation.classes),
            self.distillation,
        ).item()


def recover(
    network: nn.Module,
    teacher: nn.Module | Lessons | Float32[np.ndarray, "n klass"],
    material: Material,
    recipe: Recipe,
    distillation: Distillation = TEACHER_ALONE,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    *,
    max_windows: int | None = None,
    mixed: float = MIXED,
    deadline_s: float | None = None,
    hooks: Hooks = NO_HOOKS,
    state: State | None = None,
) -> Fit:
    """Train ``network`` in place until it answers as ``teacher`` does.

    Without a deadline the same arguments and thread count give the same weights.

    Args:
        network: left in evaluation mode with the weights of the best epoch.
        teacher: a network; or its answers from `lessons_of`, which saves asking again where
            several networks learn from one; or its logits over ``material.training`` alone.
        material: windows to learn from and to stop by.
        recipe: settings.
        distillation: by default the teacher alone is listened to, at temperature 1: that is
            what agrees with it most on bars that neither saw.
        on_epoch: told about each pass as it ends.
        max_windows: training windows at the most, evenly spread.
        mixed: windows made of two others that the teacher is asked about too, for each real
            one; only where ``teacher`` is a network.
        deadline_s: seconds after which training stops where it is.
        hooks: others that take part.
        state: of an earlier run that was cut off.

    Raises:
        BadInput: nothing to train on, or a loss that is not finite.
    """
    if isinstance(teacher, nn.Module):
        lessons = lessons_of(teacher, material.thinned(max_windows), mixed=mixed, seed=recipe.seed)
    elif isinstance(teacher, Lessons):
        lessons = teacher.thinned(max_windows)
    else:
        lessons = lessons_from(teacher, material).thinned(max_windows)
    if deadline_s is not None:
        ends, asked = time.monotonic() + deadline_s, hooks.enough
        hooks = replace(hooks, enough=lambda: asked() or time.monotonic() >= ends)
    goal = Answers(lessons, distillation)
    return pursue(network, goal, recipe, on_epoch, hooks=hooks, state=state)
