"""What a model file is, holds and went through, as a report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from aitrade_cli.model.artefact import (
    Artefact,
    Exported,
    NativePackage,
    OnnxGraph,
    Script,
    TorchWeights,
)
from aitrade_cli.model.card import Card, RunsOn, Sample, Step, TensorSpec
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, view
from aitrade_cli.units import bytes_text, count_text

RECORD = "surgery"  # as in `model.surgery`, which needs torch
SHOWN_TENSORS = 12
KINDS = {
    TorchWeights: "torch weights (.pt)",
    OnnxGraph: "ONNX graph (.onnx)",
    Exported: "exported program (.pt2)",
    Script: "TorchScript archive",
    NativePackage: "compiled ahead of time (.pt2 with a native library)",
}


@dataclass(frozen=True, slots=True)
class TensorLine:
    """One weight tensor."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class PreprocessingLine:
    features: tuple[str, ...]
    window: int
    clip_sigma: float


@dataclass(frozen=True, slots=True)
class DecisionLine:
    kind: str
    positions: tuple[float, ...]
    threshold: float


@dataclass(frozen=True, slots=True)
class SampleLine:
    """The bars inside, in windows of the model's length."""

    symbol: str
    first: str
    last: str
    calibration_windows: int
    gap_rows: int
    evaluation_windows: int
    source_sha256: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything `aitrade inspect` shows. `None` where the file does not say."""

    name: str
    kind: str
    size_bytes: int
    sha256: str
    arch: str | None
    arch_config: dict[str, Any] | None
    parameters: int | None
    weight_bytes: int | None
    parameters_by_dtype: dict[str, int]
    operators: dict[str, int]  # ONNX only: how many nodes of each type
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: PreprocessingLine | None
    decision: DecisionLine | None
    sample: SampleLine | None
    trained_until: str | None
    runs_on: RunsOn | None
    tensors: tuple[TensorLine, ...]
    history: tuple[Step, ...]


def inspect_artefact(artefact: Artefact, data: bytes) -> Inspection:
    """Describe an artefact that was loaded from ``data``."""
    tensors = tensors_of(artefact)
    dtypes: Counter[str] = Counter()
    for tensor in tensors:
        dtypes[tensor.dtype] += int(np.prod(tensor.shape))
    card = artefact.card
    known = isinstance(artefact.network, TorchWeights | OnnxGraph)
    return Inspection(
        name=artefact.name,
        kind=KINDS[type(artefact.network)],
        size_bytes=len(data),
        sha256=artefact.sha256 or "",
        arch=card.arch.name if card.arch else None,
        arch_config=card.arch.config if card.arch else None,
        parameters=sum(dtypes.values()) if known else None,
        weight_bytes=sum(t.size_bytes for t in tensors) if known else None,
        parameters_by_dtype=dict(dtypes),
        operators=operators_of(artefact),
        inputs=card.inputs,
        outputs=card.outputs,
        preprocessing=preprocessing_line(card),
        decision=decision_line(card),
        sample=sample_line(card),
        trained_until=None if card.trained_until_ns is None else day(card.trained_until_ns),
        runs_on=card.runs_on,
        tensors=tensors,
        history=card.history,
    )


def tensors_of(artefact: Artefact) -> tuple[TensorLine, ...]:
    match artefact.network:
        case TorchWeights(state_dict=state):
            return tuple(
                TensorLine(name, tuple(w.shape), str(w.dtype).removeprefix("torch."), w.nbytes)
                for name, w in state.items()
            )
        case OnnxGraph(proto_bytes=proto):
            return onnx_tensors(proto)
    return ()


def onnx_tensors(proto: bytes) -> tuple[TensorLine, ...]:
    import onnx  # not needed for a .pt

    graph = onnx.load_from_string(proto).graph
    lines = []
    for tensor in graph.initializer:
        kind = onnx.TensorProto.DataType.Name(tensor.data_type).lower()
        numbers = int(np.prod(tensor.dims))
        size = len(tensor.raw_data) or spelt_out_bytes(tensor.data_type, numbers)
        lines.append(TensorLine(tensor.name, tuple(tensor.dims), kind, size))
    return tuple(lines)


def spelt_out_bytes(data_type: int, numbers: int) -> int:
    """Of a tensor that the file holds number by number instead of as bytes."""
    import onnx  # not needed for a .pt

    if data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4):
        return (numbers + 1) // 2
    return numbers * onnx.helper.tensor_dtype_to_np_dtype(data_type).itemsize


def operators_of(artefact: Artefact) -> dict[str, int]:
    if not isinstance(artefact.network, OnnxGraph):
        return {}
    import onnx  # not needed for a .pt

    nodes = onnx.load_from_string(artefact.network.proto_bytes).graph.node
    return dict(Counter(node.op_type for node in nodes).most_common())


def preprocessing_line(card: Card) -> PreprocessingLine | None:
    part = card.preprocessing
    return part and PreprocessingLine(part.features, part.window, part.clip)


def decision_line(card: Card) -> DecisionLine | None:
    rule = card.decision
    return rule and DecisionLine(rule.kind, rule.positions, rule.threshold)


def sample_line(card: Card) -> SampleLine | None:
    if card.sample is None:
        return None
    sample: Sample = card.sample
    length = card.window or 1
    stamps = sample.series.timestamp_ns
    return SampleLine(
        sample.symbol,
        day(int(stamps[0])),
        day(int(stamps[-1])),
        max(0, len(sample.calibration) - length + 1),
        sample.evaluation_row - sample.calibration_rows,
        max(0, len(sample.evaluation) - length + 1),
        sample.source_sha256,
    )


def day(timestamp_ns: int) -> str:
    return f"{datetime.fromtimestamp(timestamp_ns / 1e9, tz=UTC):%Y-%m-%d %H:%M}Z"


@view.register
def _(report: Inspection) -> Sequence[Block]:
    blocks: list[Block] = [
        Facts(report.name, file_rows(report)),
        Facts("Contract", contract_rows(report)),
    ]
    if report.operators:
        rows = [(name, str(count)) for name, count in report.operators.items()]
        blocks.append(Table("Operators", ("Type", "Nodes"), rows))
    if report.tensors:
        blocks.append(weights_table(report))
    history = [history_line(number, step) for number, step in enumerate(report.history, 1)]
    blocks.append(Notes("History", history or ["nothing is recorded"]))
    return blocks


def file_rows(report: Inspection) -> list[tuple[str, str]]:
    dtypes = ", ".join(f"{name} {n:,}" for name, n in report.parameters_by_dtype.items())
    config = ", ".join(setting_text(k, v) for k, v in (report.arch_config or {}).items())
    return [
        ("Kind", report.kind),
        ("Size", bytes_text(report.size_bytes)),
        ("sha256", report.sha256),
        ("Architecture", f"{report.arch} ({config})" if report.arch else "not recorded"),
        ("Parameters", f"{count_text(report.parameters)} ({dtypes})" if dtypes else "—"),
    ]


def setting_text(name: str, value: object) -> str:
    """One setting of an architecture; a long record of cuts only by its length."""
    cuts = len(value) if name == RECORD and isinstance(value, list) else None
    return f"{name}={value}" if cuts is None else f"{cuts} cuts by `prune`"


def contract_rows(report: Inspection) -> list[tuple[str, str]]:
    rows = [("Input", spec_text(spec)) for spec in report.inputs]
    rows += [("Output", spec_text(spec)) for spec in report.outputs]
    if report.preprocessing:
        part = report.preprocessing
        rows.append(("Features", ", ".join(part.features)))
        rows.append(("Window", f"{part.window} bars, clipped at {part.clip_sigma:g} sigma"))
    if report.decision:
        rows.append(("Decision", decision_text(report.decision)))
    if report.sample:
        rows.append(("Sample", sample_text(report.sample)))
    if report.trained_until:
        rows.append(("Trained until", report.trained_until))
    if report.runs_on:
        rows.append(("Runs on", runs_on_text(report.runs_on)))
    missing = {
        "preprocessing": report.preprocessing,
        "decision rule": report.decision,
        "sample": report.sample,
    }
    absent = [word for word, part in missing.items() if part is None]
    if absent:
        rows.append(("Not recorded", ", ".join(absent)))
    return rows


def runs_on_text(wish: RunsOn) -> str:
    threads = f"{wish.threads} thread{'s' * (wish.threads > 1)}"
    return f"{wish.runtime}, {threads}, {wish.precision}"


def spec_text(spec: TensorSpec) -> str:
    return f"{spec.name} {spec.dtype}[{', '.join(map(str, spec.shape))}]"


def decision_text(rule: DecisionLine) -> str:
    if rule.kind == "threshold":
        return f"long above {rule.threshold:g}, short below {-rule.threshold:g}, else flat"
    return f"position of the largest output: {', '.join(f'{p:g}' for p in rule.positions)}"


def sample_text(sample: SampleLine) -> str:
    return (
        f"{sample.symbol} {sample.first} to {sample.last}: {sample.calibration_windows:,} windows "
        f"to calibrate, a gap of {sample.gap_rows} bars, {sample.evaluation_windows:,} to judge"
    )


def weights_table(report: Inspection) -> Table:
    largest = sorted(report.tensors, key=lambda tensor: -tensor.size_bytes)[:SHOWN_TENSORS]
    rows = [
        (t.name, " x ".join(map(str, t.shape)), t.dtype, bytes_text(t.size_bytes)) for t in largest
    ]
    hidden = len(report.tensors) - len(largest)
    title = "Weights, largest first" + (f" ({hidden} smaller ones not shown)" if hidden else "")
    return Table(title, ("Name", "Shape", "Type", "Size"), rows)


def history_line(number: int, step: Step) -> str:
    settings = ", ".join(
        f"{k}={v}" for k, v in step.settings.items() if not isinstance(v, dict | list)
    )
    parent = f" from {step.parent_sha256[:12]}" if step.parent_sha256 else ""
    return f"{number}. {step.command}{parent}: {settings}"
