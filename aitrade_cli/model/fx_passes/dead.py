"""Nodes that nobody reads."""

from __future__ import annotations

from torch import fx


def drop_dead(module: fx.GraphModule) -> int:
    """Remove what no output depends on, and the submodules that only it used.

    Returns:
        How many nodes went.
    """
    before = len(module.graph.nodes)
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return before - len(module.graph.nodes)
