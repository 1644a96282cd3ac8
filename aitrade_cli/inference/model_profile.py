"""What a model's time and memory go to: its operators, its layers, its threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import AitradeError
from aitrade_cli.inference.entrants import network_bytes
from aitrade_cli.inference.latency import QUICK, Effort, Variant, measure
from aitrade_cli.inference.latency_report import LatencyReport
from aitrade_cli.inference.model_profile_report import ModelProfile, OperatorLine, verdicts_of
from aitrade_cli.inference.opening import windows_for
from aitrade_cli.inference.operator_times import (
    Turn,
    onnx_operators,
    torch_operators,
    torch_outputs,
)
from aitrade_cli.inference.rounds import Launch, Say, launch_worker
from aitrade_cli.model.artefact import Artefact, NativePackage, OnnxGraph, dump
from aitrade_cli.model.network import NativeProgram
from aitrade_cli.system.host import usable_cores

CALLS: Final = 5  # in one repeat under the profiler
ONE, ALL = "1 thread", "all cores"


def profile_model(
    artefact: Artefact,
    *,
    batch: int = 1,
    path: str | None = None,
    effort: Effort = QUICK,
    seed: int = 0,
    say: Say | None = None,
    launch: Launch = launch_worker,
) -> ModelProfile:
    """Profile a loaded model on the CPU.

    Latency is measured in processes of their own without a profiler, with one thread and with
    as many as there are cores; operators are timed here with one thread.

    Args:
        artefact: torch weights or program, or an ONNX graph.
        batch: windows in one call, >= 1.
        path: of its file, for commands that can be pasted; its name where not given.
        effort: of the latency.
        seed: of made-up inputs and the bootstrap.
        say: told what is happening.
        launch: starts the process of a variant.

    Raises:
        NativeProgram: machine code has no operators to look at.
        NoInputs: nothing says what a window looks like.
        VariantFailed: the model cannot run here.
    """
    say = say or (lambda _: None)
    if isinstance(artefact.network, NativePackage):
        raise NativeProgram(artefact)
    window = inputs(artefact, batch, seed)
    say("timing operators")
    turn, runtime = operators_of(artefact, window)
    say("measuring latency")
    report = latencies(artefact, runtime, batch, effort, seed, say, launch)
    outputs, outputs_reason, macs = layers_of(artefact, window)
    one = report.latencies[0]
    operators = on_scale(turn, one.latency_us_p50)
    per_call = sum(line.microseconds for line in operators)
    profile = ModelProfile(
        name=artefact.name,
        path=path or artefact.name,
        runtime=runtime,
        batch=batch,
        latency=one,
        operators=operators,
        operators_us=per_call,
        outside_share=max(1.0 - per_call / one.latency_us_p50, 0.0),
        threads_speed=report.speed(ALL, ONE, batch) if len(report.latencies) > 1 else None,
        threads_judgement=report.judge(ALL, ONE, batch) if len(report.latencies) > 1 else None,
        cores=len(usable_cores()),
        weight_bytes=network_bytes(artefact),
        largest_output_bytes=max(outputs, default=None),
        all_output_bytes=sum(outputs) if outputs else None,
        outputs_reason=outputs_reason,
        macs=macs,
        calls=CALLS,
        verdicts=(),
    )
    return replace(profile, verdicts=verdicts_of(profile))


def inputs(artefact: Artefact, batch: int, seed: int) -> Float32[np.ndarray, "batch time feature"]:
    windows, _ = windows_for(artefact.card, {"windows": None, "length": None, "seed": seed})
    return np.ascontiguousarray(np.resize(windows, (batch, *windows.shape[1:])))


def operators_of(artefact: Artefact, window: np.ndarray) -> tuple[Turn, str]:
    """Operators of one call beside the call itself, and the runtime that they ran in."""
    if isinstance(artefact.network, OnnxGraph):
        return onnx_operators(artefact.network.proto_bytes, window, CALLS), "onnxruntime"
    return torch_operators(artefact, window, CALLS), "eager"


def on_scale(turn: Turn, latency_us: float) -> tuple[OperatorLine, ...]:
    """Operators with their shares, dearest first, in the time of a call that nobody watches.

    The profiler costs time itself and the host may be busier at one time than at another: what
    counts is the part of a call that operators took beside calls of the same moment, at most all.
    """
    total = sum(line.microseconds for line in turn.operators)
    if total <= 0.0:
        return ()
    factor = min(total / turn.call_us, 1.0) * latency_us / total
    lines = [
        OperatorLine(line.kind, line.calls, line.microseconds * factor, line.microseconds / total)
        for line in turn.operators
    ]
    return tuple(sorted(lines, key=lambda line: -line.microseconds))


def latencies(
    artefact: Artefact,
    runtime: str,
    batch: int,
    effort: Effort,
    seed: int,
    say: Say,
    launch: Launch,
) -> LatencyReport:
    data, arch = dump(artefact), artefact.card.arch
    foreign = arch.name if arch is not None and arch.foreign else None
    variants = [Variant(ONE, data, runtime, arch=foreign, network_bytes=network_bytes(artefact))]
    if (cores := len(usable_cores())) > 1:
        variants.append(replace(variants[0], name=ALL, threads=cores))
    return measure(variants, batches=(batch,), effort=effort, seed=seed, say=say, launch=launch)


def layers_of(
    artefact: Artefact, window: np.ndarray
) -> tuple[Sequence[int], str | None, int | None]:
    """Bytes of each layer's output, why there are none, and multiply-accumulates of a window."""
    if isinstance(artefact.network, OnnxGraph):
        reason = "ONNX Runtime does not say what its nodes keep"
        return (), reason, macs_of_graph(artefact.network.proto_bytes, window)
    try:
        return torch_outputs(artefact, window), None, macs_of(artefact, window)
    except AitradeError as error:
        return (), str(error), None


def macs_of(artefact: Artefact, window: np.ndarray) -> int | None:
    import torch

    from aitrade_cli.model.artefact import TorchWeights
    from aitrade_cli.model.network import build
    from aitrade_cli.model.pruning.counting import macs

    if not isinstance(artefact.network, TorchWeights):
        return None  # an exported program has no layers to ask
    return macs(build(artefact), torch.from_numpy(window[:1].copy())) or None


def macs_of_graph(proto_bytes: bytes, window: np.ndarray) -> int | None:
    """The same of an ONNX graph, by the shapes that one window really takes through it."""
    from aitrade_cli.model.onnx_coverage import multiply_accumulates
    from aitrade_cli.model.onnx_graph import parse
    from aitrade_cli.model.onnx_observe import observe

    model = parse(proto_bytes)
    seen = observe(model, window[:1])
    return sum(multiply_accumulates(node, seen) for node in model.graph.node) or None
