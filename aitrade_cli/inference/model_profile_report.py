"""A profiled model: where a call's time goes, and the command that mends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.inference.latency_report import Judgement, Latency
from aitrade_cli.inference.resampling import Ratio
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.units import (
    DASH,
    bytes_text,
    count_text,
    microseconds_text,
    ratio_text,
    share_text,
)

# Kinds that multiply matrices, in the words of torch and of ONNX.
PRODUCTS: Final = (
    *("mm", "bmm", "matmul", "linear", "conv", "lstm", "gru", "rnn", "gemm", "attention"),
    *("einsum",),
)
MOSTLY: Final = 0.5  # a share that is more than all others together
SHOWN: Final = 12


@dataclass(frozen=True, slots=True)
class OperatorLine:
    """One kind of operator in one call of the model.

    Attributes:
        calls: how often it ran in one call.
        microseconds: its own time in one call.
        share: of all operators' time, 0..1.
    """

    kind: str
    calls: float
    microseconds: float
    share: float

    @property
    def product(self) -> bool:
        """It multiplies matrices."""
        return any(word in self.kind.lower() for word in PRODUCTS)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured, and the command that mends it; None where nothing needs mending."""

    said: str
    command: str | None


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """One model on this host.

    Attributes:
        latency: with one thread, without a profiler.
        operators: dearest first, with one thread, under the profiler.
        operators_us: of one call together.
        outside_share: of the latency, that no operator accounts for: Python and dispatch.
        threads_speed: of all cores over one thread; None on one core.
        largest_output_bytes: of one layer, in one call.
        all_output_bytes: of all layers: what training would keep.
        macs: multiply-accumulates of one window; None where they are not known.
        calls: in one repeat under the profiler; the fastest of several repeats is shown.
        verdicts: the dearest first.
    """

    name: str
    path: str
    runtime: str
    batch: int
    latency: Latency
    operators: tuple[OperatorLine, ...]
    operators_us: float
    outside_share: float
    threads_speed: Ratio | None
    threads_judgement: Judgement | None
    cores: int
    weight_bytes: int
    largest_output_bytes: int | None
    all_output_bytes: int | None
    outputs_reason: str | None
    macs: int | None
    calls: int
    verdicts: tuple[Finding, ...]

    JSON_PROPERTIES = ("product_share",)

    @property
    def product_share(self) -> float:
        """Of all operators' time, that multiplies matrices."""
        return sum(line.share for line in self.operators if line.product)


def verdicts_of(profile: ModelProfile) -> tuple[Finding, ...]:
    """What the figures say, each finding from something that was measured."""
    found: list[Finding] = []
    if profile.outside_share > MOSTLY:
        found.append(
            Finding(
                f"{share_text(profile.outside_share, 0)} of a call lies outside its operators:"
                " Python and dispatch",
                f"aitrade compile {profile.path} --batch {profile.batch}",
            )
        )
    inside = profile.product_share * (1.0 - profile.outside_share)
    if inside > MOSTLY:
        found.append(
            Finding(
                f"{share_text(inside, 0)} of a call multiplies matrices",
                f"aitrade quantize {profile.path} --int8",
            )
        )
    if profile.threads_judgement == "faster":
        said = ratio_text(profile.threads_speed.value if profile.threads_speed else None)
        found.append(
            Finding(
                f"{profile.cores} threads are {said} as fast as one",
                f"aitrade bench {profile.path} --batch {profile.batch} --threads 1,{profile.cores}",
            )
        )
    if not found and profile.operators:
        dearest = profile.operators[0]
        said = f"no half of a call is of one kind; `{dearest.kind}` leads with"
        found.append(Finding(f"{said} {share_text(dearest.share, 0)} of the operators", None))
    return tuple(found)


@view.register
def _(report: ModelProfile) -> Sequence[Block]:
    latency, low = report.latency, report.latency.latency_us_p50_interval
    said = "; ".join(finding.said for finding in report.verdicts)
    rows = [
        ("Runtime", f"{report.runtime}, 1 thread, batch {report.batch}"),
        ("Latency, p50", microseconds_text(latency.latency_us_p50)),
        ("95 % of repeats", f"{microseconds_text(low.low)} to {microseconds_text(low.high)}"),
        ("In operators", microseconds_text(report.operators_us)),
        ("Outside them", share_text(report.outside_share)),
        (
            f"On {report.cores} threads",
            DASH
            if report.threads_speed is None
            else f"{ratio_text(report.threads_speed.value)} as fast ({report.threads_judgement})",
        ),
        ("Weights", bytes_text(report.weight_bytes)),
        ("Largest layer output", bytes_text(report.largest_output_bytes)),
        ("All layer outputs", bytes_text(report.all_output_bytes)),
        ("Peak of its process", bytes_text(latency.peak_memory_bytes)),
        ("MACs of a window", count_text(report.macs)),
    ]
    lines = [
        (line.kind, f"{line.calls:g}", microseconds_text(line.microseconds), share_text(line.share))
        for line in report.operators[:SHOWN]
    ]
    commands = [finding.command for finding in report.verdicts if finding.command]
    blocks: list[Block] = [
        Verdict(f"{report.name}: {said}"),
        Facts("A call", rows),
        Table("Operators", ("Operator", "Calls", "Time", "Share"), lines),
    ]
    if commands:
        blocks.append(Notes("To mend it", commands))
    if report.outputs_reason:
        blocks.append(Notes("Not measured", (f"layer outputs: {report.outputs_reason}",)))
    return blocks


def figure_of(report: ModelProfile) -> Figure:
    """Operators as bars."""
    shown = report.operators[:SHOWN]
    bars = Bars(
        [line.kind for line in shown],
        [line.microseconds for line in shown],
        texts=[share_text(line.share) for line in shown],
    )
    title = f"{report.name}: operators of one call, batch {report.batch}"
    notes = (f"{report.runtime}, 1 thread, {report.calls} calls under the profiler",)
    return Figure(title, (Panel("Own time", bars, "µs"),), notes)
