"""What `compile` tried, what it ships and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.inference.latency_report import Judgement
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.units import (
    DASH,
    bytes_text,
    microseconds_text,
    ratio_text,
    seconds_text,
    share_text,
)


@dataclass(frozen=True, slots=True)
class BatchLine:
    """One candidate at one batch size, one process each.

    Attributes:
        speed: times as fast as the source, with its 95 % interval.
        judgement: against the source, beyond noise.
    """

    batch: int
    first_call_us: float
    latency_us_p50: float
    latency_us_p99: float | None
    peak_memory_bytes: int
    speed: float
    speed_low: float
    speed_high: float
    judgement: Judgement


@dataclass(frozen=True, slots=True)
class CompileLine:
    """One candidate.

    Attributes:
        compile_seconds: to build it; None where it was not built.
        shapes: different (batch, length) that it and the source both answered.
        output_delta_max: largest |difference| of an output on usual bars.
        flips: share of the choosing windows decided otherwise; None without a decision rule.
        graphs: graphs that Dynamo compiled; None for other backends.
        batches: figures by batch size; empty where it was not timed.
        status: ``shipped``, ``built``, ``absent`` or ``failed``.
        reason: why it was shipped, or was not.
    """

    name: str
    backend: str
    precision: str
    compile_seconds: float | None
    shapes: int | None
    output_delta_max: float | None
    flips: float | None
    graphs: int | None
    batches: tuple[BatchLine, ...]
    status: str
    reason: str


@dataclass(frozen=True, slots=True)
class CompileReport:
    """The whole run.

    Attributes:
        output: file that was written; None where the source was kept.
        baseline: how the source runs.
        baseline_batches: its own figures; its speed is 1 by definition.
        winner: name of the shipped candidate; None where the source was kept.
        gained: the winner is faster than the source beyond noise, and slower nowhere.
        asked_by_name: no gain informs instead of failing.
        equivalence: of the winner; None where the source was kept.
    """

    source: str
    baseline: str
    baseline_batches: tuple[BatchLine, ...]
    output: str | None
    file_bytes: int | None
    sha256: str | None
    winner: str | None
    gained: bool
    asked_by_name: bool
    kept: str  # why, where the source was
    batches: tuple[int, ...]
    flips_allowed: float
    chosen_on_windows: int
    candidates: tuple[CompileLine, ...]
    equivalence: EquivalenceReport | None
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("verdict", "passed")

    @property
    def passed(self) -> bool:
        if self.equivalence is None:
            return False
        return self.equivalence.passed and (self.gained or self.asked_by_name)

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.winner is None:
            return f"kept {self.baseline}: {self.kept}"
        if not self.gained:
            return f"{self.winner}: no gain over {self.baseline}"
        line = next(line for line in self.candidates if line.name == self.winner)
        speeds = ", ".join(f"{ratio_text(b.speed)} at batch {b.batch}" for b in line.batches)
        return f"{self.winner} is fastest: {speeds}, of {self.baseline}'s speed"


@view.register
def _(report: CompileReport) -> Sequence[Block]:
    blocks: list[Block] = [Verdict(report.verdict, report.passed)]
    if report.equivalence is not None:
        blocks += view(report.equivalence)
    blocks.append(candidates_table(report))
    blocks += [speed_table(report, batch) for batch in report.batches]
    reasons = [f"{line.name}: {line.reason}" for line in report.candidates]
    blocks.append(Notes("Why", [*reasons, *report.notes]))
    if report.output is not None:
        blocks.append(Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written"))
    return tuple(blocks)


def candidates_table(report: CompileReport) -> Table:
    return Table(
        f"Candidates, compared on {report.chosen_on_windows:,} earlier windows",
        ("Candidate", "Compile", "Shapes", "Delta", "Flips"),
        [
            (
                marked(line),
                seconds_text(line.compile_seconds),
                DASH if line.shapes is None else str(line.shapes),
                DASH if line.output_delta_max is None else f"{line.output_delta_max:.1g}",
                share_text(line.flips, 2),
            )
            for line in report.candidates
            if line.status != "absent"
        ],
    )


def speed_table(report: CompileReport, batch: int) -> Table:
    named = [("  " + report.baseline, report.baseline_batches)]
    named += [(marked(line), line.batches) for line in report.candidates]
    rows = [
        (
            name,
            microseconds_text(at.first_call_us),
            microseconds_text(at.latency_us_p50),
            microseconds_text(at.latency_us_p99),
            bytes_text(at.peak_memory_bytes),
            ratio_text(at.speed),
        )
        for name, batches in named
        for at in batches
        if at.batch == batch
    ]
    title = f"Batch {batch}, against {report.baseline}"
    return Table(title, ("Candidate", "First call", "p50", "p99", "Memory", "Speed"), rows)


def marked(line: CompileLine) -> str:
    return ("> " if line.status == "shipped" else "  ") + line.name
