"""What `quantize` tried, what it ships and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.units import bytes_text, microseconds_text, share_text


@dataclass(frozen=True, slots=True)
class CandidateLine:
    """One way to quantize this model.

    Attributes:
        name: of the technique.
        size_bytes: of the ONNX file without the card; None where it could not be built.
        latency_us_p50: quick race, batch 1, one thread; None where it was not timed.
        stored_share: weights stored in fewer bits, 0..1.
        computed_share: weights multiplied as integers, 0..1.
        flips: share of the choosing windows decided otherwise; None without a decision rule.
        in_float: layers left in float.
        shipped: this is the one.
        reason: why it was not shipped, or was.
    """

    name: str
    size_bytes: int | None
    latency_us_p50: float | None
    stored_share: float | None
    computed_share: float | None
    flips: float | None
    in_float: tuple[str, ...]
    shipped: bool
    reason: str


@dataclass(frozen=True, slots=True)
class QuantizeReport:
    """The whole run. The verdict is that of the equivalence report."""

    source: str
    output: str
    bits: str
    float32_bytes: int  # of the source's tensors: what sizes are compared with
    onnx_bytes: int  # of the shipped graph without its card
    file_bytes: int  # of the file, card and sample of bars included
    candidates: tuple[CandidateLine, ...]
    flips_allowed: float
    chosen_on_windows: int
    equivalence: EquivalenceReport
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("size_ratio", "passed")

    @property
    def size_ratio(self) -> float:
        """Shipped ONNX bytes over the source's float32 tensor bytes."""
        return self.onnx_bytes / self.float32_bytes

    @property
    def passed(self) -> bool:
        return self.equivalence.passed


@view.register
def _(report: QuantizeReport) -> Sequence[Block]:
    wrote = Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written, card included")
    table = Table(
        f"Candidates, chosen on {report.chosen_on_windows:,} earlier windows",
        ("Candidate", "Size", "p50", "Stored", "Computed", "Flips"),
        [row_of(line) for line in report.candidates],
    )
    reasons = [f"{line.name}: {line.reason}" for line in report.candidates]
    return (
        *view(report.equivalence),
        table,
        Notes("Why", [*reasons, *report.notes]),
        wrote,
    )


def row_of(line: CandidateLine) -> tuple[str, ...]:
    return (
        ("> " if line.shipped else "  ") + line.name,
        bytes_text(line.size_bytes),
        microseconds_text(line.latency_us_p50),
        share_text(line.stored_share, 0),
        share_text(line.computed_share, 0),
        share_text(line.flips, 2),
    )
