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
from aitrade_cli.training.loop import Examples, Recipe, logits_of, tensor_of
from aitrade_cli.training.material import Material
from aitrade_cli.training.run import NO_HOOKS, Epoch, Fit, Hooks, State, pursue

LATEST_SHARE = 0.12  # of the training windows, to stop by, where only their logits are given


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

    The factor keeps gradients as large as those of the labels, whatever the temperature.

    Source:
        Hinton, Vinyals and Dean 2015, section 2. https://arxiv.org/abs/1503.02531
    """
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
    """The teacher's share and the labels' share of one loss."""
    soft = soft_loss(student, teacher, distillation.temperature)
    if distillation.weight == 1.0:
        return soft
    hard = functional.cross_entropy(student, classes)
    return distillation.weight * soft + (1.0 - distillation.weight) * hard


@dataclass(frozen=True, slots=True)
class Lessons:
    """Windows and what the teacher answers, asked once."""

    training: Examples
    training_logits: Float32[np.ndarray, "n klass"]
    validation: Examples
    validation_logits: Float32[np.ndarray, "m klass"]


@dataclass
class Answers:
    """The objective of distilling logits; validation is the same loss on later windows."""

    lessons: Lessons
    distillation: Distillation
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return len(self.lessons.training) if len(self.lessons.validation) else 0

    def loss(self, network: nn.Module, rows: Int64[np.ndarray, " n"]) -> Tensor:
        lessons = self.lessons
        return mixed_loss(
            network(tensor_of(lessons.training.windows[rows])),
            torch.from_numpy(lessons.training_logits[rows]),
            torch.from_numpy(lessons.training.classes[rows]),
            self.distillation,
        )

    def validation_loss(self, network: nn.Module) -> float:
        lessons = self.lessons
        return mixed_loss(
            torch.from_numpy(logits_of(network, lessons.validation.windows)),
            torch.from_numpy(lessons.validation_logits),
            torch.from_numpy(lessons.validation.classes),
            self.distillation,
        ).item()


def logits_over(
    network: nn.Module, windows: Float32[np.ndarray, "n time feature"], *, batch: int = 256
) -> Float32[np.ndarray, "n klass"]:
    """What a teacher answers to every window: `loop.logits_of`, as float32."""
    return np.asarray(logits_of(network, windows, batch=batch), dtype=np.float32)


def lessons_of(teacher: nn.Module, material: Material) -> Lessons:
    """Ask the teacher once about all training and validation windows."""
    return Lessons(
        material.training,
        logits_over(teacher, material.training.windows),
        material.validation,
        logits_over(teacher, material.validation.windows),
    )


def lessons_from(logits: Float32[np.ndarray, "n klass"], material: Material, gap: int) -> Lessons:
    """Lessons where only the answers to the training windows are known.

    The latest of them decide when to stop, ``gap`` windows apart from those learned from.
    """
    if len(logits) != len(material.training):
        raise BadInput(
            f"`{len(logits):,}` answers of the teacher for {len(material.training):,} windows"
        )
    start = round(len(logits) * (1.0 - LATEST_SHARE))
    stop = max(1, start - gap)
    windows, classes = material.training.windows, material.training.classes
    return Lessons(
        Examples(windows[:stop], classes[:stop]),
        logits[:stop],
        Examples(windows[start:], classes[start:]),
        logits[start:],
    )


def recover(
    network: nn.Module,
    teacher: nn.Module | Lessons | Float32[np.ndarray, "n klass"],
    material: Material,
    recipe: Recipe,
    distillation: Distillation = TEACHER_ALONE,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
    *,
    max_windows: int | None = None,
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
        deadline_s: seconds after which training stops where it is.
        hooks: others that take part.
        state: of an earlier run that was cut off.

    Raises:
        BadInput: nothing to train on, or a loss that is not finite.
    """
    if isinstance(teacher, nn.Module):
        lessons = lessons_of(teacher, material.thinned(max_windows))
    elif isinstance(teacher, Lessons):
        lessons = thinned(teacher, max_windows)
    else:
        gap = material.preprocessing.window - 1
        lessons = thinned(lessons_from(teacher, material, gap), max_windows)
    if deadline_s is not None:
        ends, asked = time.monotonic() + deadline_s, hooks.enough
        hooks = replace(hooks, enough=lambda: asked() or time.monotonic() >= ends)
    goal = Answers(lessons, distillation)
    return pursue(network, goal, recipe, on_epoch, hooks=hooks, state=state)


def thinned(lessons: Lessons, most: int | None) -> Lessons:
    """At most ``most`` training windows, evenly spread."""
    count = len(lessons.training)
    if most is None or count <= most:
        return lessons
    every = -(-count // max(1, most))
    examples = Examples(lessons.training.windows[::every], lessons.training.classes[::every])
    return replace(lessons, training=examples, training_logits=lessons.training_logits[::every])
