"""The first half of `distill`: bars, size, the teacher's answers, and two training runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.outputs import Remembered, outputs_of
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights
from aitrade_cli.model.card import Arch, Card
from aitrade_cli.model.network import build
from aitrade_cli.model.onnx_coverage import parameters
from aitrade_cli.model.onnx_graph import parse
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.distill.settings import Settings
from aitrade_cli.passes.distill.size import choose_arch
from aitrade_cli.passes.sample import Evidence, gather
from aitrade_cli.passes.ship import timing_windows
from aitrade_cli.training.checkpoints.kept import Kept
from aitrade_cli.training.distillation import Answers, Distillation
from aitrade_cli.training.features import SeenAndSaid, features_over
from aitrade_cli.training.lessons import Lessons, lessons_of
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.material import Material, material_of
from aitrade_cli.training.run import NO_HOOKS, Epoch, Fit, Hooks, Objective, pursue

Say = Callable[[str], None]
ASKED_AT_ONCE = 256


class NotAClassifier(BadInput):
    """Its outputs are not one logit for each class of the labels."""

    default_hint = "a student is trained on short, flat and long; other outputs need the library"


@dataclass(frozen=True, slots=True)
class Lesson:
    """The teacher, what it answered, and on which bars."""

    source: Artefact
    running: Remembered
    material: Material
    evidence: Evidence
    lessons: Lessons
    arch: Arch
    notes: tuple[str, ...]


def prepare_lesson(source: Artefact, settings: Settings, say: Say) -> Lesson:
    """Find the bars, choose the student's size and ask the teacher."""
    evidence = gather(source.card, settings.data, settings.symbol)
    material = material_of(source.card, settings.data, settings.symbol)
    running = Remembered(start(source))
    seed = settings.recipe.seed
    if logits_from(running, source.card, material.validation.windows[:1]).shape[1] != 3:
        raise NotAClassifier(f"`{source.name}` does not answer with three logits")
    windows = timing_windows(evidence, source, seed)
    arch, notes = choose_arch(source, settings, parameters_in(source), windows, say)
    say(f"asking the teacher about {len(material.training):,} windows and as many mixtures")
    lessons = lessons_of(
        lambda asked: logits_from(running, source.card, asked), material, seed=seed
    )
    running.answers.clear()  # training windows are not asked for again
    return Lesson(source, running, material, evidence, lessons, arch, notes)


def logits_from(
    running: Remembered, card: Card, windows: Float32[np.ndarray, "n time feature"]
) -> Float32[np.ndarray, "n klass"]:
    """The teacher's answers, as many at a time as its input takes."""
    return outputs_of(running, windows, input_shape(card).batch or ASKED_AT_ONCE)


def goal_of(lesson: Lesson, settings: Settings) -> Objective:
    """Logits, and features where they were asked for."""
    answers = Answers(lesson.lessons, Distillation(settings.temperature, settings.weight))
    if settings.feature_weight == 0:
        return answers
    teacher = build(lesson.source)
    seen = features_over(teacher, lesson.lessons)
    seed = settings.recipe.seed
    student = fresh(lesson.arch, seed)
    return SeenAndSaid(student, answers, seen, settings.feature_weight, seed)


def labels_of(lesson: Lesson) -> Objective:
    return Labels(lesson.material.training, lesson.material.validation)


def train(
    lesson: Lesson,
    settings: Settings,
    name: str,
    goal: Objective,
    kept: Kept | None,
    say: Say,
) -> tuple[nn.Module, Fit]:
    """Train one network from fresh weights, or from where an earlier run was cut off."""
    recipe = settings.recipe
    network = goal.network if isinstance(goal, SeenAndSaid) else fresh(lesson.arch, recipe.seed)

    def tell(epoch: Epoch) -> None:
        say(
            f"{name}, epoch {epoch.number} of {recipe.epochs}: loss {epoch.training_loss:.3f},"
            f" validation {epoch.validation_loss:.3f}"
        )

    state, hooks = None, NO_HOOKS
    if kept is not None:
        state, keeper = kept.taken_up(lambda told: say(f"{name}: {told}"))
        hooks = Hooks(callbacks=(keeper,))
    run = pursue(network, goal, recipe, tell, hooks=hooks, state=state)
    if isinstance(goal, SeenAndSaid):
        goal.close()
    return network, run


def parameters_in(source: Artefact) -> int:
    """Numbers that the teacher stores as weights."""
    network = source.network
    if isinstance(network, TorchWeights):
        return sum(tensor.numel() for tensor in network.state_dict.values())
    if isinstance(network, OnnxGraph):
        return parameters(parse(network.proto_bytes))
    return sum(tensor.numel() for tensor in build(source).parameters())
