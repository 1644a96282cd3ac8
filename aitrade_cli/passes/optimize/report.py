"""What `optimize` tried, what nothing beats, and what ships."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.passes.optimize.points import Point
from aitrade_cli.passes.optimize.settings import Minimize
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.units import bytes_text, microseconds_text, ratio_text, seconds_text, share_text


@dataclass(frozen=True, slots=True)
class FrontLine:
    """One point of the Pareto front, re-measured in one race with all the others.

    Attributes:
        number: what `--pick` takes, from 1.
        shape: of the network.
        form: how it is stored and run.
        latency_us_p50: batch 1.
        speedup: over the source in eager on one thread, in the same race.
        size_bytes: of the network, without its card.
        flips: expected on bars kept for choosing, 0..1; None without a decision rule.
        within_budget: expected to hold it on later bars.
        shipped: this is the one.
    """

    number: int
    shape: str
    form: str
    latency_us_p50: float
    speedup: float
    size_bytes: int
    flips: float | None
    within_budget: bool
    shipped: bool


@dataclass(frozen=True, slots=True)
class ShapeLine:
    """What became of one network that was tried."""

    shape: str
    fate: str  # kept, stopped early, failed
    flips: tuple[float, ...]  # expected, after each rung of training
    seconds: float


@dataclass(frozen=True, slots=True)
class SingleCommand:
    """The best that one command by itself gives in the same race."""

    command: str
    form: str
    speedup: float
    flips: float | None


@dataclass(frozen=True, slots=True)
class OptimizeReport:
    """The whole search. The verdict is that of the equivalence report."""

    source: str
    output: str
    study: str
    minimize: Minimize
    flips_allowed: float
    seconds: float  # of this run
    trials_now: int  # of this run
    trials_all: int  # of all runs of the study
    front: tuple[FrontLine, ...]
    shapes: tuple[ShapeLine, ...]
    singles: tuple[SingleCommand, ...]
    chosen_on_windows: int
    file_bytes: int
    equivalence: EquivalenceReport
    notes: tuple[str, ...]

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("passed",)

    @property
    def passed(self) -> bool:
        return self.equivalence.passed

    @property
    def shipped(self) -> FrontLine:
        return next(line for line in self.front if line.shipped)


@view.register
def _(report: OptimizeReport) -> Sequence[Block]:
    wrote = Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written, card included")
    front = Table(
        f"Nothing beats these, chosen on {report.chosen_on_windows:,} earlier windows",
        ("", "Network", "Format and runtime", "p50", "Speed", "Size", "Flips"),
        [front_row(line) for line in report.front],
        left=3,
    )
    shapes = Table(
        "Networks tried",
        ("Network", "Outcome", "Flips while it learned", "Took"),
        [shape_row(line) for line in report.shapes],
        left=3,
    )
    facts = Facts(
        "Search",
        (
            ("Ships", f"{report.shipped.shape}; {report.shipped.form}"),
            ("Took", f"{seconds_text(report.seconds)}, {report.trials_now} networks now"),
            ("Kept in", report.study),
            *((f"`{one.command}` alone", single_text(one)) for one in report.singles),
        ),
    )
    return (*view(report.equivalence), facts, front, shapes, Notes("Notes", report.notes), wrote)


def front_row(line: FrontLine) -> tuple[str, ...]:
    return (
        (">" if line.shipped else " ") + str(line.number),
        line.shape,
        line.form.replace("onnxruntime", "ORT").replace("openvino", "OpenVINO"),
        microseconds_text(line.latency_us_p50),
        ratio_text(line.speedup),
        bytes_text(line.size_bytes),
        share_text(line.flips, 2),
    )


def shape_row(line: ShapeLine) -> tuple[str, ...]:
    learned = ", ".join(share_text(flips) for flips in line.flips)
    return (line.shape, line.fate, learned, seconds_text(line.seconds))


def single_text(one: SingleCommand) -> str:
    flips = "" if one.flips is None else f", {share_text(one.flips, 2)} flips"
    return f"{ratio_text(one.speedup)}{flips} ({one.form})"


def front_lines(
    points: Sequence[Point], within: Sequence[bool], shipped: int
) -> tuple[FrontLine, ...]:
    """Number the points of the front from 1."""
    return tuple(
        FrontLine(
            number=number,
            shape=point.shape,
            form=point.form,
            latency_us_p50=point.latency_us,
            speedup=point.speedup,
            size_bytes=point.size_bytes,
            flips=point.flips,
            within_budget=fits,
            shipped=number == shipped,
        )
        for number, (point, fits) in enumerate(zip(points, within, strict=True), start=1)
    )
