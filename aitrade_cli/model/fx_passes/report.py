"""What the graph passes removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view


@dataclass(frozen=True, slots=True)
class PassLine:
    """One rewriting.

    Attributes:
        name: ``conv-bn``, ``constants``, ``repeated`` or ``dead``.
        nodes_removed: of the graph; 0 where there was nothing to do.
        output_delta_max: largest |difference| of an output on the example.
        note: why it was not done, where it was not.
    """

    name: str
    nodes_removed: int
    output_delta_max: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class GraphReport:
    """A graph before and after.

    Attributes:
        traced: how the graph was taken: ``symbolic`` or ``export``.
        nodes_before: of the traced graph; inputs and the output are counted.
        passes: in the order in which they ran.
    """

    source: str
    traced: str
    nodes_before: int
    nodes_after: int
    passes: tuple[PassLine, ...]
    notes: tuple[str, ...] = ()

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("nodes_removed",)

    @property
    def nodes_removed(self) -> int:
        return self.nodes_before - self.nodes_after


@view.register
def _(report: GraphReport) -> Sequence[Block]:
    told = f"{report.nodes_removed} of {report.nodes_before} nodes removed"
    lines = [f"{line.name}: {line.note}" for line in report.passes if line.note]
    return (
        Verdict(told, True if report.nodes_removed else None),
        Table(
            "Graph passes",
            ("Pass", "Nodes removed", "Delta"),
            [
                (line.name, str(line.nodes_removed), f"{line.output_delta_max:.1g}")
                for line in report.passes
            ],
        ),
        Notes("Notes", [f"the graph was taken by {report.traced}", *lines, *report.notes]),
    )
