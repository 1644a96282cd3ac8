"""`optimize --graph-only`: the same weights and numbers in a graph with fewer nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from aitrade_cli.fidelity.report import EquivalenceReport
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.fx_passes import GraphReport, optimize_graph
from aitrade_cli.passes.equity import Equity, equity_panels
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.sample import gather
from aitrade_cli.passes.ship import Change, ship, timing_windows, weight_bytes
from aitrade_cli.report.blocks import Block, Verdict, view
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.units import bytes_text

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class GraphOnlyReport:
    """What the passes removed, and whether the result still trades the same."""

    source: str
    output: str
    file_bytes: int
    graph: GraphReport
    equivalence: EquivalenceReport

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("passed",)

    @property
    def passed(self) -> bool:
        return self.equivalence.passed


@view.register
def _(report: GraphOnlyReport) -> Sequence[Block]:
    wrote = Verdict(f"{report.output}: {bytes_text(report.file_bytes)} written, card included")
    return (*view(report.equivalence), *view(report.graph), wrote)


@dataclass(frozen=True, slots=True)
class GraphOnly:
    """The artefact's bytes with its verdict inside, the report, two curves."""

    data: bytes
    report: GraphOnlyReport
    equities: tuple[Equity, ...]

    def figure(self) -> Figure:
        """Nodes that each pass removed, and the equity before and after."""
        lines = self.report.graph.passes
        removed = [float(line.nodes_removed) for line in lines]
        texts = [str(line.nodes_removed) for line in lines]
        bars = Bars([line.name for line in lines], removed, texts=texts)
        panels = [Panel("Nodes removed", bars, "nodes"), *equity_panels(self.equities)]
        equivalence = self.report.equivalence
        return Figure(equivalence.verdict, panels, equivalence.notes)


def rewrite_graph(
    source: Artefact, settings: Settings, output: str, say: Say = lambda _: None
) -> GraphOnly:
    """Run the graph passes and judge what came out.

    Args:
        source: torch weights, an exported program or TorchScript.
        settings: bars, budget, costs and seed are used.
        output: name of the file that will be written, for the report.
        say: told what is happening.

    Raises:
        NotTorch: the source is an ONNX graph.
        NotTraceable: no tracer can take the graph.
        BadInput: bars or model cannot be used.
    """
    evidence = gather(source.card, settings.data, settings.symbol)
    say("tracing and rewriting the graph")
    made, graph = optimize_graph(source)
    made = replace(made, name=output, sha256=None)
    change = Change(
        source=source,
        made=made,
        command="optimize",
        settings={**settings.as_history(), "graph_only": True},
        measurements={"nodes_before": graph.nodes_before, "nodes_after": graph.nodes_after},
        evidence=evidence,
        size_bytes=(weight_bytes(source), weight_bytes(made)),
        size_note="weights of the source as stored, ONNX without its card",
        asked_by_name=True,
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.seed,
    )
    say("judging the new graph")
    shipped = ship(change, timing_windows(evidence, source, settings.seed), say)
    report = GraphOnlyReport(source.name, output, len(shipped.data), graph, shipped.equivalence)
    return GraphOnly(shipped.data, report, shipped.equities)
