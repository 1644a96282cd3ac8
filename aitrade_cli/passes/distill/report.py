"""What `distill` trained, how it compares, and whether the teacher was worth asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.passes.distill.compare import HeldOut, LossDifference
from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.report.plot import Curve, Figure, Panel
from aitrade_cli.training.run import Epoch
from aitrade_cli.units import bytes_text, ratio_text, share_text


@dataclass(frozen=True, slots=True)
class Training:
    """Every pass of one training run, and which weights were kept."""

    name: str
    epochs: tuple[Epoch, ...]
    best_epoch: int


@dataclass(frozen=True, slots=True)
class DistillReport:
    """The whole run. It fails where the equivalence report or a wanted speed-up fails."""

    source: str
    output: str
    student: str  # name of its architecture
    parameters_before: int
    parameters_after: int
    temperature: float
    teacher_weight: float  # share of the loss, 0..1
    feature_weight: float
    models: tuple[HeldOut, ...]  # teacher, student, student alone
    differences: tuple[LossDifference, ...]
    trainings: tuple[Training, ...]
    speedup_wanted: float | None
    speedup: float | None  # measured, batch 1
    file_bytes: int
    equivalence: EquivalenceReport
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("parameter_ratio", "passed", "lesson")

    @property
    def parameter_ratio(self) -> float:
        """Parameters of the teacher over those of the student; above 1 is smaller."""
        return self.parameters_before / self.parameters_after

    @property
    def fast_enough(self) -> bool:
        """True where no speed-up was asked for, or the measured one reaches it."""
        return self.speedup_wanted is None or (self.speedup or 0.0) >= self.speedup_wanted

    @property
    def passed(self) -> bool:
        return self.equivalence.passed and self.fast_enough

    @property
    def lesson(self) -> str:
        """Whether the teacher was worth asking, in words."""
        found = next((one for one in self.differences if one.other == "student alone"), None)
        match None if found is None else found.verdict:
            case "lower":
                return "the teacher helped: held-out loss is lower than without it"
            case "higher":
                return "the teacher hurt: held-out loss is higher than without it"
            case "not distinguishable":
                return "held-out loss is not distinguishable from training without the teacher"
            case _:
                return "too few held-out windows to say whether the teacher helped"


@view.register
def _(report: DistillReport) -> Sequence[Block]:
    size = (
        f"{report.parameters_after:,} of {report.parameters_before:,} parameters, "
        f"{ratio_text(report.parameter_ratio)} fewer"
    )
    wanted = report.speedup_wanted
    speed = (
        ()
        if wanted is None
        else (
            (
                "Speed-up",
                f"{ratio_text(report.speedup or 0.0)}, wanted {ratio_text(wanted)}",
            ),
        )
    )
    facts = (("Student", f"{report.student}, {size}"), *speed, ("Teacher", report.lesson))
    return (
        *view(report.equivalence),
        Facts("Distilled", facts),
        Table(
            "On held-out bars",
            ("Model", "Parameters", "Loss", "Accuracy", "As the teacher"),
            [row_of(one) for one in report.models],
        ),
        Table(
            "Difference of held-out loss, nats, 95 % interval",
            ("Of", "Against", "Difference", "From", "To"),
            [
                (one.name, one.other, f"{one.nats:+.4f}", f"{one.low:+.4f}", f"{one.high:+.4f}")
                for one in report.differences
            ],
            left=2,
        ),
        Notes("How", report.notes),
        Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written, card included"),
    )


def row_of(one: HeldOut) -> tuple[str, ...]:
    return (
        one.name,
        f"{one.parameters:,}",
        "not run" if one.loss_nats is None else f"{one.loss_nats:.4f}",
        "not run" if one.accuracy is None else share_text(one.accuracy),
        "not run" if one.agreement is None else share_text(one.agreement),
    )


def figure_of(report: DistillReport, equities: Sequence[Equity]) -> Figure:
    """Equity of both, and how each training run went."""
    panels = equity_panels(equities)
    for training in report.trainings:
        numbers = [epoch.number for epoch in training.epochs]
        curves = [
            Curve("training", numbers, [epoch.training_loss for epoch in training.epochs]),
            Curve("validation", numbers, [epoch.validation_loss for epoch in training.epochs]),
        ]
        marks = ((float(training.best_epoch), "kept"),)
        title = f"Training the {training.name}"
        panels.append(Panel(title, curves, "epoch", "loss, nats", marks=marks))
    return Figure(report.equivalence.verdict, panels, report.equivalence.notes)
