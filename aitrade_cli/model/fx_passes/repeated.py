"""Common sub-expressions: what is computed twice is computed once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch import fx

from aitrade_cli.model.fx_passes.purity import repeatable, writes


def share_repeated(module: fx.GraphModule) -> int:
    """Let equal nodes of equal arguments be one node.

    Nothing is done where any node writes in place: two equal results must then stay two.

    Returns:
        How many nodes went.
    """
    nodes = list(module.graph.nodes)
    if any(writes(module, node) for node in nodes):
        return 0
    seen: dict[Hashable, fx.Node] = {}
    removed = 0
    for node in nodes:
        if not repeatable(module, node):
            continue
        key = key_of(node)
        if key is None:
            continue
        first = seen.setdefault(key, node)
        if first is not node:
            node.replace_all_uses_with(first)
            module.graph.erase_node(node)
            removed += 1
    module.recompile()
    return removed


def key_of(node: fx.Node) -> Hashable | None:
    """Equal for nodes that compute the same; None where an argument cannot be compared."""
    key = (node.op, node.target, frozen(node.args), frozen(node.kwargs))
    try:
        hash(key)
    except TypeError:
        return None
    return key


def frozen(value: Any) -> Any:  # noqa: ANN401 -- an argument of a node may be anything
    if isinstance(value, dict):
        return tuple((name, frozen(part)) for name, part in sorted(value.items()))
    if isinstance(value, list | tuple):
        return (type(value).__name__, *(frozen(part) for part in value))
    if isinstance(value, slice):
        return ("slice", frozen(value.start), frozen(value.stop), frozen(value.step))
    # 1, 1.0 and True are equal to Python, and give tensors of different types.
    return value if isinstance(value, fx.Node) else (type(value).__name__, value)
