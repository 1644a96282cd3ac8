"""What `prune` removed, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.units import bytes_text, count_text, ratio_text, share_text


@dataclass(frozen=True, slots=True)
class LayerLine:
    """One layer, or several whose units go together.

    Attributes:
        name: of the layer that makes the units.
        before: units, or weights of a mask.
        after: units left, or weights that are not zero.
        importance: share of the layer's score that the kept units hold, 0..1; None for masks.
    """

    name: str
    before: int
    after: int
    importance: float | None = None


@dataclass(frozen=True, slots=True)
class RoundLine:
    """One round of pruning, and of training where there was any.

    Attributes:
        share: removed since the start, 0..1: of the units, or of the weights.
        parameters: that are left and not zero.
        flips_before: share of validation windows decided otherwise right after the cut.
        flips_after: the same after training; None where there was none.
        epochs: of training.
    """

    number: int
    share: float
    parameters: int
    flips_before: float | None
    flips_after: float | None
    epochs: int


@dataclass(frozen=True, slots=True)
class Pace:
    """Both models at one batch size, one thread.

    Attributes:
        latency_us_before: median of one call of the whole batch.
        speedup: before / after; above 1 is faster.
        noise_band: a ratio between 1/band and band is a tie.
    """

    batch: int
    latency_us_before: float
    latency_us_after: float
    speedup: float
    speedup_low: float
    speedup_high: float
    noise_band: float

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("throughput_before", "throughput_after")

    @property
    def throughput_before(self) -> float:
        """Windows a second."""
        return self.batch / self.latency_us_before * 1e6

    @property
    def throughput_after(self) -> float:
        return self.batch / self.latency_us_after * 1e6


@dataclass(frozen=True, slots=True)
class PruneReport:
    """The whole run. The verdict is that of the equivalence report."""

    source: str
    output: str
    way: str  # what was asked for, in words
    ranking: str  # taylor, magnitude
    parameters_before: int
    parameters_after: int  # stored, zeros included
    zeros: int  # of those
    macs_before: int  # of one window
    macs_after: int
    weight_bytes_before: int
    weight_bytes_after: int
    compressed_bytes_before: int  # the same tensors through zstd
    compressed_bytes_after: int
    file_bytes: int  # of the file, card and sample of bars included
    layers: tuple[LayerLine, ...]
    untouched: tuple[str, ...]
    rounds: tuple[RoundLine, ...]
    paces: tuple[Pace, ...]
    equivalence: EquivalenceReport
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = (
        "parameter_ratio",
        "mac_ratio",
        "sparsity",
        "passed",
    )

    @property
    def parameter_ratio(self) -> float:
        """Parameters after / before."""
        return self.parameters_after / self.parameters_before

    @property
    def mac_ratio(self) -> float:
        """Multiply-accumulates after / before."""
        return self.macs_after / self.macs_before if self.macs_before else 1.0

    @property
    def sparsity(self) -> float:
        """Share of the stored parameters that are zero."""
        return self.zeros / self.parameters_after

    @property
    def passed(self) -> bool:
        return self.equivalence.passed

    def pace(self, batch: int) -> Pace:
        """The figures at one batch size."""
        return next(pace for pace in self.paces if pace.batch == batch)


@view.register
def _(report: PruneReport) -> Sequence[Block]:
    wrote = Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written, card included")
    return (
        *view(report.equivalence),
        size_table(report),
        Table(
            "Speed, one thread",
            ("Batch", "Windows a second", "after", "ratio", "95 %"),
            [pace_row(pace) for pace in report.paces],
        ),
        layer_table(report),
        *round_blocks(report),
        Facts("Pruning", (("Asked for", report.way), ("Ranked by", report.ranking))),
        *notes_of(report),
        wrote,
    )


def size_table(report: PruneReport) -> Table:
    pairs = (
        ("Parameters", report.parameters_before, report.parameters_after, count_text),
        ("MACs of a window", report.macs_before, report.macs_after, count_text),
        ("Bytes of weights", report.weight_bytes_before, report.weight_bytes_after, bytes_text),
        (
            "… through zstd",
            report.compressed_bytes_before,
            report.compressed_bytes_after,
            bytes_text,
        ),
    )
    rows = [
        (name, text(before), text(after), share_text(after / before if before else None))
        for name, before, after, text in pairs
    ]
    if report.zeros:
        rows.append(("Zeros", "", count_text(report.zeros), share_text(report.sparsity)))
    return Table("Size", ("", "before", "after", "left"), rows)


def pace_row(pace: Pace) -> Sequence[str]:
    return (
        str(pace.batch),
        count_text(round(pace.throughput_before)),
        count_text(round(pace.throughput_after)),
        ratio_text(pace.speedup),
        f"{ratio_text(pace.speedup_low)} to {ratio_text(pace.speedup_high)}",
    )


def layer_table(report: PruneReport) -> Table:
    rows = [
        (
            line.name,
            count_text(line.before),
            count_text(line.after),
            share_text(line.after / line.before),
            share_text(line.importance),
        )
        for line in report.layers
    ]
    return Table("Layers", ("Layer", "before", "after", "left", "importance"), rows)


def round_blocks(report: PruneReport) -> list[Block]:
    if not report.rounds:
        return []
    rows = [
        (
            str(line.number),
            share_text(line.share),
            count_text(line.parameters),
            share_text(line.flips_before),
            share_text(line.flips_after),
            str(line.epochs),
        )
        for line in report.rounds
    ]
    columns = ("Round", "removed", "parameters", "flips cut", "trained", "epochs")
    return [Table("Rounds, flips on earlier windows", columns, rows)]


def notes_of(report: PruneReport) -> list[Block]:
    lines = [*report.notes, *(f"left alone, {line}" for line in report.untouched)]
    return [Notes("Of the pruning", lines)] if lines else []
