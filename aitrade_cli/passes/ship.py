"""The last stretch of every command that changes a model: measure, judge, record, write out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.judge import judge
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.fidelity.report import EquivalenceReport, summary
from aitrade_cli.inference.latency import Latency, LatencyReport
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights, dump
from aitrade_cli.model.network import build
from aitrade_cli.model.onnx_coverage import parameters
from aitrade_cli.model.onnx_graph import parse
from aitrade_cli.model.provenance import record
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.equity import Equity, equity_of
from aitrade_cli.passes.sample import Evidence, calibration_windows
from aitrade_cli.passes.timing import time_pair

Say = Callable[[str], None]
FEW: Final = 64  # windows to time with


@dataclass(frozen=True, slots=True)
class Change:
    """A changed model and how it is to be judged.

    Attributes:
        source: what came in, and what the changed model is compared with.
        made: what goes out; `Artefact.name` is the file it will be written to.
        command: that made it, for the history.
        settings: of that command, plain data, for the history.
        measurements: plain data to keep in the history beside the verdict.
        evidence: the bars it is judged on.
        coverage: what of the model was changed.
        size_bytes: of the weights before and after, both counted the same way.
        size_note: how they were counted.
        asked_by_name: no gain informs instead of failing.
        budget: what the change may cost.
        costs: of trading.
        seed: of noise, order of timing and bootstrap.
        source_running: the source, where it was started already.
        batches: windows in one call, each timed; the gain gate takes the first.
        effort: how long both are timed.
    """

    source: Artefact
    made: Artefact
    command: str
    settings: Mapping[str, Any]
    evidence: Evidence
    size_bytes: tuple[int, int]
    size_note: str
    coverage: Coverage | None = None
    measurements: Mapping[str, Any] = field(default_factory=dict)
    asked_by_name: bool = False
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    seed: int = 0
    source_running: Remembered | None = None
    batches: tuple[int, ...] = (1,)
    effort: Effort = FULL


@dataclass(frozen=True, slots=True)
class Shipped:
    """The artefact's bytes with its verdict inside, the report, two curves, the timing."""

    data: bytes
    equivalence: EquivalenceReport
    equities: tuple[Equity, ...]
    timed: LatencyReport


def ship(
    change: Change,
    windows: Float32[np.ndarray, "n time feature"],
    say: Say = lambda _: None,
) -> Shipped:
    """Time source and result side by side, put the result before the five gates, record it.

    Args:
        change: what is shipped.
        windows: real inputs to time with, none of them from the evaluation rows.
        say: told what is happening.
    """
    source, made = change.source, change.made
    card, sample = source.card, change.evidence.sample
    before = change.source_running or Remembered(start(source))
    after = Remembered(start(made))
    timed = time_pair(
        source,
        made,
        windows,
        batches=change.batches,
        effort=change.effort,
        seed=change.seed,
        say=say,
    )
    report = judge(
        before,
        after,
        card=card,
        sample=sample,
        budget=change.budget,
        costs=change.costs,
        seed=change.seed,
        coverage=change.coverage,
        gain=gain_of(timed, change),
        before_name=source.name,
        after_name=made.name,
    )
    told = {**change.measurements, **summary(report)}
    data = dump(record(made, source, change.command, change.settings, told))
    equities = (
        equity_of(source.name, before, card, sample, change.costs),
        equity_of(made.name, after, made.card, sample, change.costs),
    )
    return Shipped(data, report, tuple(one for one in equities if one is not None), timed)


def gain_of(timed: LatencyReport, change: Change) -> Gain:
    """Size and latency of both sides, and how they were taken."""
    batch = change.batches[0]
    before, after = timed.latency("before", batch), timed.latency("after", batch)
    speed = timed.speed("after", batch=batch)
    return Gain(
        size_bytes_before=change.size_bytes[0],
        size_bytes_after=change.size_bytes[1],
        latency_us_before=before.latency_us_p50,
        latency_us_after=after.latency_us_p50,
        speedup_low=speed.interval.low,
        speedup_high=speed.interval.high,
        noise_band=timed.band(batch) - 1.0,
        asked_by_name=change.asked_by_name,
        conditions=(
            f"size: {change.size_note}; latency: {before.runtime} against {after.runtime}, "
            f"batch {batch}, {threads_text(before, after)}, "
            f"{min(before.runs, after.runs):,} runs or more, one process each"
        ),
    )


def threads_text(before: Latency, after: Latency) -> str:
    if before.threads != after.threads:
        return f"{before.threads} against {after.threads} threads"
    return f"{after.threads} thread{'s' * (after.threads > 1)}"


def timing_windows(
    evidence: Evidence, artefact: Artefact, seed: int
) -> Float32[np.ndarray, "n time feature"]:
    """A few windows to time with: real ones from before the evaluation rows, else noise."""
    shape = input_shape(artefact.card)
    if evidence.sample is not None:
        earlier, later = calibration_windows(evidence.sample, shape.window)
        real = earlier if len(earlier) else later
        if len(real):
            return np.ascontiguousarray(real[-FEW:], dtype=np.float32)
    noise = np.random.default_rng(seed).standard_normal((FEW, shape.window, shape.features))
    return noise.astype(np.float32)


def weight_bytes(artefact: Artefact) -> int:
    """Bytes of the network alone: torch's tensors, or the graph without its card."""
    network = artefact.network
    if isinstance(network, TorchWeights):
        return sum(tensor.nbytes for tensor in network.state_dict.values())
    if isinstance(network, OnnxGraph):
        return len(network.proto_bytes)
    return len(dump(artefact))


def float32_bytes(source: Artefact, exported: OnnxGraph | None = None) -> int:
    """Bytes that the parameters take in float32: what every size is compared with.

    Args:
        source: where it holds torch weights, those are counted.
        exported: else the parameters of this graph, or of the source's own; of a program that
            torch runs, its parameters.
    """
    network = source.network
    if isinstance(network, TorchWeights):
        return 4 * sum(tensor.numel() for tensor in network.state_dict.values())
    graph = network if isinstance(network, OnnxGraph) else exported
    if graph is None:
        return 4 * sum(tensor.numel() for tensor in build(source).parameters())
    return 4 * parameters(parse(graph.proto_bytes))
