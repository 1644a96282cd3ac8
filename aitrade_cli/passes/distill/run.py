"""`distill`: train a small network on a large one's answers, and the same one without them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.model.architectures import FIXED_TIME
from aitrade_cli.model.artefact import Artefact, TorchWeights
from aitrade_cli.model.card import Card, TensorSpec
from aitrade_cli.passes.distill.compare import HeldOut, LossDifference, difference, held_out_of
from aitrade_cli.passes.distill.kept import ALONE, STUDENT, kept_of, refuse_run_in_the_way, taken
from aitrade_cli.passes.distill.report import DistillReport, Training
from aitrade_cli.passes.distill.settings import Settings
from aitrade_cli.passes.distill.train import (
    Lesson,
    goal_of,
    labels_of,
    logits_from,
    parameters_in,
    prepare_lesson,
    train,
)
from aitrade_cli.passes.equity import Equity
from aitrade_cli.passes.ship import Change, Shipped, float32_bytes, ship, timing_windows
from aitrade_cli.passes.taught import taught_card, taught_on
from aitrade_cli.training.lessons import logits_over
from aitrade_cli.training.run import Fit
from aitrade_cli.training.students import parameters_of

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Distilled:
    """What came of it: the artefact's bytes with its verdict inside, the report, two curves."""

    data: bytes
    report: DistillReport
    equities: tuple[Equity, ...]


def distill_artefact(
    source: Artefact, settings: Settings, output: str, say: Say = lambda _: None
) -> Distilled:
    """Train the student twice, with the teacher and without, and ship the one that was taught.

    Args:
        source: the teacher; any file that runs and says how bars become its input.
        settings: what was asked for.
        output: name of the file that will be written, for the report.
        say: told what is happening.

    Raises:
        NoTrainingBars: no bars were named and the history's are not here.
        NotAClassifier: the teacher does not answer with three logits.
        StateInTheWay: the run's folder holds a state that would be lost.
        BadInput: bars or model cannot be used.
    """
    refuse_run_in_the_way(settings)
    lesson = prepare_lesson(source, settings, say)
    kept = kept_of(lesson, settings)
    with taken(settings):
        goal = goal_of(lesson, settings)
        student, taught = train(lesson, settings, STUDENT, goal, kept.get(STUDENT), say)
        alone, untaught = train(lesson, settings, ALONE, labels_of(lesson), kept.get(ALONE), say)
    say("judging the student")
    networks = {STUDENT: student, ALONE: alone}
    models, differences = compare(lesson, networks, settings.recipe.seed)
    shipped = ship_student(lesson, settings, student, models, differences, output, say)
    fits = {STUDENT: taught, ALONE: untaught}
    report = report_of(lesson, settings, fits, models, differences, shipped, output)
    return Distilled(shipped.data, report, shipped.equities)


def compare(
    lesson: Lesson, networks: dict[str, nn.Module], seed: int
) -> tuple[tuple[HeldOut, ...], tuple[LossDifference, ...]]:
    """Every model on the evaluation windows that have a label."""
    judged = lesson.material.held_out
    none = np.zeros((0, 3), dtype=np.float32)  # where there is nothing to ask about
    asked = len(judged) > 0
    teacher = logits_from(lesson.running, lesson.source.card, judged.windows) if asked else none
    logits = {"teacher": teacher}
    counts = {"teacher": parameters_in(lesson.source)}
    for name, network in networks.items():
        logits[name] = logits_over(network, judged.windows) if asked else none
        counts[name] = parameters_of(lesson.arch)
    models = tuple(
        held_out_of(name, counts[name], logits[name], judged.classes, teacher) for name in logits
    )
    pairs = (("student", "student alone"), ("student", "teacher"))
    found = (difference(pair, logits, judged.classes, seed=seed) for pair in pairs)
    return models, tuple(one for one in found if one is not None)


def ship_student(
    lesson: Lesson,
    settings: Settings,
    student: nn.Module,
    models: tuple[HeldOut, ...],
    differences: tuple[LossDifference, ...],
    output: str,
    say: Say,
) -> Shipped:
    """Put the student before the gates, and its training into the history."""
    source, material = lesson.source, lesson.material
    before, after = parameters_in(source), parameters_of(lesson.arch)
    weights = TorchWeights(dict(student.state_dict()))
    told: dict[str, Any] = {
        "parameters_before": before,
        "parameters_after": after,
        "held_out_loss_nats": {one.name: one.loss_nats for one in models},
        "agreement": {one.name: one.agreement for one in models},
        "loss_differences_nats": [
            {"of": one.name, "against": one.other, "nats": one.nats, "low": one.low,
             "high": one.high}
            for one in differences
        ],
    }  # fmt: skip
    change = Change(
        source=source,
        made=Artefact(card_of(lesson), weights, name=output),
        command="distill",
        settings={**settings.as_history(), **taught_on(material, settings.data)},
        measurements=told,
        evidence=lesson.evidence,
        coverage=Coverage(before, before),
        size_bytes=(float32_bytes(source), 4 * after),
        size_note="float32 tensors of both",
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.recipe.seed,
        source_running=lesson.running,
    )
    return ship(change, timing_windows(lesson.evidence, source, settings.recipe.seed), say)


def card_of(lesson: Lesson) -> Card:
    """The teacher's card with the student's architecture; what was seen may have grown."""
    arch, card = lesson.arch, taught_card(lesson.source.card, lesson.material, lesson.evidence)
    time = lesson.material.preprocessing.window if arch.name in FIXED_TIME else "time"
    return replace(
        card,
        arch=arch,
        inputs=(TensorSpec("window", ("batch", time, arch.config["features"])),),
        outputs=(TensorSpec("logits", ("batch", arch.config["classes"])),),
        runs_on=None,
    )


def report_of(
    lesson: Lesson,
    settings: Settings,
    fits: dict[str, Fit],
    models: tuple[HeldOut, ...],
    differences: tuple[LossDifference, ...],
    shipped: Shipped,
    output: str,
) -> DistillReport:
    gain = shipped.equivalence.gain
    recipe = settings.recipe
    return DistillReport(
        source=lesson.source.name,
        output=output,
        student=lesson.arch.name,
        parameters_before=parameters_in(lesson.source),
        parameters_after=parameters_of(lesson.arch),
        temperature=settings.temperature,
        teacher_weight=settings.weight,
        feature_weight=settings.feature_weight,
        models=models,
        differences=differences,
        trainings=tuple(Training(name, run.epochs, run.best.number) for name, run in fits.items()),
        speedup_wanted=settings.speedup,
        speedup=None if gain is None else gain.speedup,
        file_bytes=len(shipped.data),
        equivalence=shipped.equivalence,
        notes=(
            f"bars: {lesson.material.note}",
            f"judged on: {lesson.evidence.note}",
            f"loss: {settings.weight:g} of the teacher at temperature {settings.temperature:g},"
            f" {1 - settings.weight:g} of the labels; AdamW, up to {recipe.epochs} epochs of"
            f" batch {recipe.batch}, seed {recipe.seed}, {torch.get_num_threads()} threads",
            "the student alone had the same first weights and settings, and the labels only",
            *lesson.notes,
        ),
    )
