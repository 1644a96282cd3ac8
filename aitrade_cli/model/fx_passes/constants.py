"""What does not depend on the input is computed once, here."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, fx

from aitrade_cli.model.fx_passes.purity import repeatable, trusted_function, writes

FEW_NUMBERS: Final = 1 << 16  # a constant larger than what it came from would grow the file


def fold_constants(module: fx.GraphModule) -> int:
    """Replace expressions of weights and numbers alone by their value.

    Nothing is done where any node writes in place: a constant could then be written over.

    Returns:
        How many nodes went; those that were needed for the folded ones included.
    """
    nodes = list(module.graph.nodes)
    if any(writes(module, node) for node in nodes):
        return 0
    before = len(nodes)
    values: dict[fx.Node, Any] = {}
    for node in nodes:
        if is_constant(module, node, values):
            try:
                values[node] = value_of(module, node, values)
            except Exception:
                continue
    for node in nodes:
        if node in values and node.op != "get_attr" and worth_keeping(module, node, values):
            keep(module, node, values[node])
    module.graph.eliminate_dead_code()
    module.recompile()
    return before - len(module.graph.nodes)


def is_constant(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    if node.op == "get_attr":
        return isinstance(attribute(module, str(node.target)), Tensor)
    known = all(source in values for source in node.all_input_nodes)
    return known and trusted_function(node) and repeatable(module, node)


def value_of(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> Any:  # noqa: ANN401
    if node.op == "get_attr":
        return attribute(module, str(node.target))
    args = fx.map_arg(node.args, values.__getitem__)
    kwargs = fx.map_arg(node.kwargs, values.__getitem__)
    with torch.no_grad():
        if node.op == "call_method":
            first, *others = args
            return getattr(first, str(node.target))(*others, **kwargs)
        assert callable(node.target)  # a `call_function` node
        return node.target(*args, **kwargs)


def worth_keeping(module: fx.GraphModule, node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    """A tensor that something reads which is no constant itself, and that is not too large."""
    del module
    value = values[node]
    if not isinstance(value, Tensor) or all(user in values for user in node.users):
        return False
    sources = sum(
        values[source].numel()
        for source in node.all_input_nodes
        if isinstance(values[source], Tensor)
    )
    return value.numel() <= max(FEW_NUMBERS, sources)


def keep(module: fx.GraphModule, node: fx.Node, value: Tensor) -> None:
    name = f"_folded_{sum(1 for _ in module.buffers())}"
    while hasattr(module, name):
        name += "_"
    # A view would keep all of what it looks into.
    module.register_buffer(name, value.detach().contiguous().clone())
    with module.graph.inserting_before(node):
        constant = module.graph.get_attr(name)
    node.replace_all_uses_with(constant)


def attribute(module: fx.GraphModule, path: str) -> Any:  # noqa: ANN401
    found: Any = module
    for name in path.split("."):
        found = getattr(found, name)
    return found
