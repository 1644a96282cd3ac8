"""What came of an export, exporter by exporter and shape by shape. Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from aitrade_cli.model.card import TensorSpec
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.units import bytes_text, count_text, seconds_text

ShapeStatus: TypeAlias = Literal["same", "differs", "fails", "model_refuses"]


@dataclass(frozen=True, slots=True)
class ShapeTrial:
    """One input shape, tried in torch and in the exported graph.

    Attributes:
        batch: windows.
        length: rows in a window.
        inputs: ``real`` bars or ``noise``.
        status: ``same`` within tolerance; ``differs``; ``fails`` in the graph only;
            ``model_refuses`` in torch already, so the graph need not take it.
        max_abs_diff: largest |difference| of an output; None where nothing came out.
        reason: what was said where something failed.
    """

    batch: int
    length: int
    inputs: Literal["real", "noise"]
    status: ShapeStatus
    max_abs_diff: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ExporterTrial:
    """One exporter's graph.

    Attributes:
        exporter: ``dynamo`` or ``legacy``.
        shapes: every shape that was tried, in order.
        nodes: of the folded graph; None where the export failed.
        size_bytes: of the folded graph without card; None where the export failed.
        seconds: the export took, shapes not included.
        free_axes: of the input that the exporter declared.
        failed: why there is no graph; empty where there is one.
    """

    exporter: str
    shapes: tuple[ShapeTrial, ...] = ()
    nodes: int | None = None
    size_bytes: int | None = None
    seconds: float | None = None
    free_axes: tuple[str, ...] = ()
    failed: str = ""

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("passed", "tried", "max_abs_diff")

    @property
    def passed(self) -> int:
        return sum(trial.status == "same" for trial in self.shapes)

    @property
    def tried(self) -> int:
        """Shapes that torch itself takes."""
        return sum(trial.status != "model_refuses" for trial in self.shapes)

    @property
    def right(self) -> bool:
        """There is a graph, and it is right at every shape that torch takes."""
        return not self.failed and self.passed == self.tried > 0

    @property
    def max_abs_diff(self) -> float | None:
        """The largest of all shapes."""
        found = [trial.max_abs_diff for trial in self.shapes if trial.max_abs_diff is not None]
        return max(found, default=None)


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Which graph was kept and why.

    Attributes:
        name: of the source.
        chosen: the exporter whose graph was kept.
        why: one sentence.
        narrowed: what the graph takes less than the model did; empty where nothing.
        trials: every exporter that was tried.
        inputs: as the graph declares them.
        outputs: as the graph declares them.
        opset: version of ONNX's operators.
    """

    name: str
    chosen: str
    why: str
    narrowed: str
    trials: tuple[ExporterTrial, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("size_bytes", "nodes")

    @property
    def kept(self) -> ExporterTrial:
        return next(trial for trial in self.trials if trial.exporter == self.chosen)

    @property
    def size_bytes(self) -> int | None:
        return self.kept.size_bytes

    @property
    def nodes(self) -> int | None:
        return self.kept.nodes


@view.register
def _(report: ExportReport) -> Sequence[Block]:
    kept = report.kept
    text = f"{report.name} runs the same in ONNX at {kept.passed} of {kept.tried} shapes"
    blocks: list[Block] = [
        Verdict(text, good=not report.narrowed),
        Facts("Exported", export_facts(report)),
        Table(
            "Exporters",
            ("Exporter", "Shapes", "Largest |Δ|", "Nodes", "Size", "Time"),
            [trial_row(trial) for trial in report.trials],
        ),
    ]
    wrong = [shape_line(trial, shape) for trial in report.trials for shape in bad_shapes(trial)]
    failed = [f"{trial.exporter}: {trial.failed}" for trial in report.trials if trial.failed]
    if wrong or failed:
        blocks.append(Notes("What went wrong", [*failed, *wrong]))
    return blocks


def export_facts(report: ExportReport) -> list[tuple[str, str]]:
    rows = [("Exporter", report.chosen), ("Because", report.why)]
    if report.narrowed:
        rows.append(("Narrowed", report.narrowed))
    rows += [("Input", spec_text(spec)) for spec in report.inputs]
    rows += [("Output", spec_text(spec)) for spec in report.outputs]
    return [*rows, ("Opset", str(report.opset))]


def spec_text(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}[{', '.join(map(str, spec.shape))}]"


def trial_row(trial: ExporterTrial) -> tuple[str, ...]:
    diff = "—" if trial.max_abs_diff is None else f"{trial.max_abs_diff:.1e}"
    return (
        trial.exporter,
        f"{trial.passed} of {trial.tried}",
        diff,
        count_text(trial.nodes),
        bytes_text(trial.size_bytes),
        seconds_text(trial.seconds),
    )


def bad_shapes(trial: ExporterTrial) -> list[ShapeTrial]:
    return [shape for shape in trial.shapes if shape.status in ("differs", "fails")]


def shape_line(trial: ExporterTrial, shape: ShapeTrial) -> str:
    said = shape.reason or f"differs by {shape.max_abs_diff:.1e}"
    return f"{trial.exporter} at [{shape.batch}, {shape.length}]: {said}"
