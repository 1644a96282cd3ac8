"""Rewritings of a torch graph that change no output: fewer nodes, the same numbers."""

from aitrade_cli.model.fx_passes.fold import fold_graph, optimize_graph
from aitrade_cli.model.fx_passes.report import GraphReport, PassLine

__all__ = ["GraphReport", "PassLine", "fold_graph", "optimize_graph"]
