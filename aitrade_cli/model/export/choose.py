"""Export with both exporters, try both graphs at many shapes, keep the better right one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import nn

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.card import Card
from aitrade_cli.model.export.exporters import EXPORTERS, Signature, quiet
from aitrade_cli.model.export.report import ExporterTrial, ExportReport
from aitrade_cli.model.export.shapes import said, shapes_to_try, try_shapes
from aitrade_cli.model.network import build
from aitrade_cli.model.onnx_cleaning import fold
from aitrade_cli.model.onnx_graph import opset_of, parse, serialize
from aitrade_cli.model.onnx_interface import declare, input_shape, specs
from aitrade_cli.model.runtimes.eager import TorchModule
from aitrade_cli.model.runtimes.onnxruntime import OnnxRuntime

EXAMPLE_BATCH: Final = 2  # 1 would be taken for a constant
WINDOW_IF_UNKNOWN: Final = 32


class ExportFailed(BadInput):
    """No exporter gave a graph that computes what the model computes."""

    default_hint = "see what each said with `--json`; a data-dependent `if` cannot be exported"


class AlreadyOnnx(BadInput):
    """There is nothing to export."""

    default_hint = "`aitrade quantize MODEL.onnx` takes it as it is"


class UnclearInput(BadInput):
    """The model does not take one window of a known width."""

    default_hint = "wrap it with PREPROCESSING or INPUTS beside its factory"


@dataclass(frozen=True, slots=True)
class Job:
    """One model to export."""

    module: nn.Module
    card: Card
    window: int
    features: int
    free_time: bool

    @property
    def signature(self) -> Signature:
        return Signature(self.card.inputs[0].name, self.card.outputs[0].name, self.free_time)


def export_onnx(
    artefact: Artefact, *, exporter: str = "auto", module: nn.Module | None = None
) -> tuple[Artefact, ExportReport]:
    """Turn a torch artefact into ONNX that computes the same at every shape it advertises.

    Both exporters declare free axes that they have frozen on some networks, so a graph is kept
    only after it ran at nine shapes or more: one bar, one window, lengths it never saw. Where
    no graph holds with a free time axis it is exported with the window's length, and the
    report says so.

    Args:
        artefact: torch weights, a `.pt2` or TorchScript.
        exporter: ``auto`` stops at the first that is right: the legacy one, which takes a
            second, else dynamo, which takes up to a minute on a recurrent network.
            ``both`` tries both and keeps the smaller right graph; or ``legacy``, ``dynamo``.
        module: export this one in its place, which computes the same.

    Returns:
        The same card with the graph's own inputs and outputs, and the report.

    Raises:
        AlreadyOnnx: there is nothing to do.
        UnclearInput: the card does not tell the shape of one window.
        ExportFailed: no graph is right even with a fixed time axis.
    """
    if isinstance(artefact.network, OnnxGraph):
        raise AlreadyOnnx(f"`{artefact.name}` is ONNX already")
    if exporter not in ("auto", "both", *EXPORTERS):
        raise Usage(f"no exporter is called `{exporter}`", hint="one of auto, both, legacy, dynamo")
    job = job_of(artefact, module)
    attempts = list(attempts_at(exporter, job))
    narrowed = ""
    if job.free_time and not any(trial.right for trial, _ in attempts):
        narrowed = narrowing(attempts, job.window)
        job = replace(job, free_time=False)
        attempts = list(attempts_at(exporter, job))
    return finish(artefact, job, attempts, narrowed)


def attempts_at(exporter: str, job: Job) -> Iterator[tuple[ExporterTrial, bytes]]:
    """Try the exporters that were asked for; with ``auto`` up to the first that is right."""
    for name in EXPORTERS if exporter in ("auto", "both") else (exporter,):
        trial, graph = attempt(name, job)
        yield trial, graph
        if exporter == "auto" and trial.right:
            return


def job_of(artefact: Artefact, module: nn.Module | None = None) -> Job:
    """Read from the card what one window looks like."""
    card = artefact.card
    if len(card.inputs) != 1 or len(card.inputs[0].shape) != 3:
        shapes = [list(spec.shape) for spec in card.inputs]
        raise UnclearInput(f"the model takes `{shapes}`, wanted one input [batch, time, feature]")
    _, time_axis, features = card.inputs[0].shape
    if not isinstance(features, int):
        features = known_features(card)
    window = time_axis if isinstance(time_axis, int) else card.window or WINDOW_IF_UNKNOWN
    return Job(module or build(artefact), card, window, features, isinstance(time_axis, str))


def known_features(card: Card) -> int:
    if card.preprocessing is not None:
        return len(card.preprocessing.features)
    configured = card.arch.config.get("features") if card.arch is not None else None
    if isinstance(configured, int):
        return configured
    raise UnclearInput("nothing says how many features a window has")


def attempt(name: str, job: Job) -> tuple[ExporterTrial, bytes]:
    """Export and try. A failure is a result too."""
    began = time.perf_counter()
    example = torch.zeros(EXAMPLE_BATCH, job.window, job.features)
    try:
        with quiet():
            graph = fold(EXPORTERS[name](job.module, example, job.signature))
        runtime = OnnxRuntime(graph)
    except Exception as error:  # exporters fail with whatever the module made them fail with
        return ExporterTrial(name, failed=f"{type(error).__name__}: {said(error)}"), b""
    seconds = time.perf_counter() - began
    shapes = shapes_to_try(job.window, job.free_time)
    model = TorchModule(job.module)
    trials = tuple(try_shapes(model.run, runtime.run, job.card, shapes, job.features))
    proto = parse(graph)
    declared = [axis for axis in input_shape(proto) if isinstance(axis, str)]
    nodes = len(proto.graph.node)
    free = tuple(("batch", "time")[: len(declared)])
    return ExporterTrial(name, trials, nodes, len(graph), seconds, free), graph


def narrowing(attempts: list[tuple[ExporterTrial, bytes]], window: int) -> str:
    told = "; ".join(
        f"{trial.exporter} {trial.failed or f'{trial.passed} of {trial.tried} shapes'}"
        for trial, _ in attempts
    )
    return f"the time axis is fixed at {window} rows: with a free one {told}"


def finish(
    artefact: Artefact,
    job: Job,
    attempts: list[tuple[ExporterTrial, bytes]],
    narrowed: str,
) -> tuple[Artefact, ExportReport]:
    right = [(trial, graph) for trial, graph in attempts if trial.right]
    if not right:
        told = "; ".join(f"{t.exporter}: {t.failed or worst_of(t)}" for t, _ in attempts)
        raise ExportFailed(f"`{artefact.name}` cannot be exported: {told}")
    trial, graph = min(right, key=lambda pair: (pair[0].nodes or 0, pair[0].size_bytes or 0))
    takes_any = all(shape.status == "same" for shape in trial.shapes)
    free_time = job.free_time and takes_any
    if job.free_time and not takes_any and not narrowed:
        narrowed = f"the model itself takes only some lengths; fixed at {job.window} rows"
    proto = parse(graph)
    declare(proto, ("batch", "time" if free_time else job.window, job.features))
    data = serialize(proto)
    inputs, outputs = specs(proto)
    card = replace(artefact.card, inputs=inputs, outputs=outputs, runs_on=None)
    report = ExportReport(
        artefact.name,
        trial.exporter,
        why([t for t, _ in attempts], trial),
        narrowed,
        tuple(replace(t, size_bytes=len(data)) if t is trial else t for t, _ in attempts),
        inputs,
        outputs,
        opset_of(proto),
    )
    made = Artefact(card, OnnxGraph(data), name=artefact.name, arch_given=artefact.arch_given)
    return made, report


def worst_of(trial: ExporterTrial) -> str:
    bad = next(shape for shape in trial.shapes if shape.status != "same")
    return f"wrong at [{bad.batch}, {bad.length}]: {bad.reason or bad.max_abs_diff}"


def why(trials: list[ExporterTrial], chosen: ExporterTrial) -> str:
    others = [trial for trial in trials if trial is not chosen]
    if not others:
        return "its graph is right at every shape that was tried"
    if not any(trial.right for trial in others):
        return "the other one is wrong at some shape or fails"
    return "both are right; this graph has fewer nodes"
