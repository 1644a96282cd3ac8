"""What `replay bench` measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from aitrade_cli.replay.bench.frames_report import FramesLine, frames_blocks
from aitrade_cli.replay.bench.rounds import Spread
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.system.host import Host, Load
from aitrade_cli.units import bytes_text, microseconds_text, ratio_text

OURS = "aitrade"
AGAIN = "aitrade again"
NOT_OTHERS = frozenset((AGAIN, "np.take", "aitrade in memory"))


@dataclass(frozen=True, slots=True)
class PeerLine:
    """A library we compare with.

    Attributes:
        name: as it was asked for.
        version: that is installed; None where it is missing.
        memory_bytes: that its buffers of these rows take, one of each kind it has.
        note: what could not be compared and why.
    """

    name: str
    version: str | None
    memory_bytes: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class OperationLine:
    """One operation of one library.

    Attributes:
        operation: what was done.
        name: by whom; ``aitrade again`` is the control: the same store, timed once more.
        us_p50: microseconds of a call, with the interval of the median.
        runs: rounds.
        ratio: its time over ours, round by round; above 1 we are faster. None for ours.
    """

    operation: str
    name: str
    us_p50: Spread
    runs: int
    ratio: Spread | None


@dataclass(frozen=True, slots=True)
class BenchReport:
    """The whole run.

    Attributes:
        rows: transitions in every buffer.
        features: float32 numbers of an observation.
        batch: rows that are drawn and updated at once.
        threads: of every library.
        peers: what was asked for, whether it is here or not.
        operations: every time that was taken.
        frames: packing of game frames, where it was asked for.
        host: the machine.
        load: what others took of it meanwhile.
    """

    rows: int
    features: int
    batch: int
    threads: int
    peers: tuple[PeerLine, ...]
    operations: tuple[OperationLine, ...]
    frames: tuple[FramesLine, ...]
    host: Host
    load: Load
    notes: tuple[str, ...] = field(default=())

    def ratio(self, operation: str, name: str) -> Spread | None:
        """Their time over ours, or None where it was not taken."""
        lines = (one for one in self.operations if one.operation == operation)
        return next((one.ratio for one in lines if one.name == name), None)


@view.register
def _(report: BenchReport) -> Sequence[Block]:
    rows = [
        (
            line.operation,
            line.name,
            microseconds_text(line.us_p50.value),
            "" if line.ratio is None else ratio_text(line.ratio.value),
            "" if line.ratio is None else f"{line.ratio.low:.2f} to {line.ratio.high:.2f}",
        )
        for line in report.operations
    ]
    peers = [
        (peer.name, peer.version or "not installed", bytes_text(peer.memory_bytes))
        for peer in report.peers
    ]
    notes = [f"{peer.name}: {peer.note}" for peer in report.peers if peer.note]
    runs = min((line.runs for line in report.operations), default=0)
    conditions = (
        f"{report.rows:,} rows of {report.features} float32, batch {report.batch}, "
        f"{report.threads} thread, {runs} rounds in turn in one process; "
        "a ratio is their time over ours, with its 95 % interval"
    )
    loaded = ("the machine was busy with other work: trust the ratios only",)
    return (
        Verdict(summary(report)),
        Table("Operations", ("Operation", "By", "p50", "Ratio", "Interval"), rows, left=2),
        Table("Compared with", ("Library", "Version", "Memory"), peers, left=2),
        *frames_blocks(report.frames),
        Notes("Conditions", (conditions, *notes, *report.notes, *loaded[: report.load.loaded])),
    )


def summary(report: BenchReport) -> str:
    """Where we stand, slower included."""
    ratios = [
        (line.ratio.value, line.operation, line.name)
        for line in report.operations
        if line.ratio is not None and line.name not in NOT_OTHERS
    ]
    if not ratios:
        return "no other library was here to compare with"
    low, high = min(ratios), max(ratios)
    return (
        f"{low[0]:.2f}x ({low[1]}, {low[2]}) to {high[0]:.2f}x ({high[1]}, {high[2]}) "
        "as fast as the others"
    )


def figure_of(report: BenchReport) -> Figure:
    """One panel an operation, microseconds by library."""
    panels = []
    for operation in dict.fromkeys(line.operation for line in report.operations):
        lines = [line for line in report.operations if line.operation == operation]
        bars = Bars(
            [line.name for line in lines],
            [line.us_p50.value for line in lines],
            [line.us_p50.low for line in lines],
            [line.us_p50.high for line in lines],
            [microseconds_text(line.us_p50.value) for line in lines],
        )
        panels.append(Panel(operation, bars, "median, µs"))
    return Figure(
        f"Replay stores of {report.rows:,} rows",
        panels,
        (f"{report.host.cpu}, {report.threads} thread, batch {report.batch}",),
    )
