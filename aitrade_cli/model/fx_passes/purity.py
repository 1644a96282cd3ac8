"""Which nodes give the same answer to the same question, and change nothing else."""

from __future__ import annotations

import operator
from typing import Final

import torch
from torch import fx, nn

RANDOM: Final = ("rand", "dropout", "bernoulli", "multinomial", "normal", "poisson", "exponential")
IN_PLACE_OPERATORS: Final = frozenset(
    (operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.setitem)
)
MAKES_NUMBERS: Final = frozenset(("torch", "_operator", "math", "torch.nn.functional"))


def writes(module: fx.GraphModule, node: fx.Node) -> bool:
    """The node changes a tensor that others may read."""
    if node.kwargs.get("inplace") or node.kwargs.get("out") is not None:
        return True
    if node.op == "call_function":
        schema = getattr(node.target, "_schema", None)
        return node.target in IN_PLACE_OPERATORS or bool(schema and schema.is_mutable)
    if node.op == "call_method":
        name = str(node.target)
        return name.endswith("_") and not name.endswith("__")
    if node.op == "call_module":
        return bool(getattr(module.get_submodule(str(node.target)), "inplace", False))
    return False


def repeatable(module: fx.GraphModule, node: fx.Node) -> bool:
    """Asked the same, it answers the same, and nobody notices how often it was asked."""
    if node.op == "get_attr":
        return True
    if node.op == "call_module":
        part = module.get_submodule(str(node.target))
        known = type(part).__module__.startswith("torch.nn.modules")
        return known and not part.training and not isinstance(part, nn.RReLU)
    if node.op not in ("call_function", "call_method") or writes(module, node):
        return False
    name = name_of(node)
    return not any(word in name for word in RANDOM) and not node.is_impure()


def name_of(node: fx.Node) -> str:
    if isinstance(node.target, str):
        return node.target
    return str(getattr(node.target, "__name__", node.target)).lower()


def trusted_function(node: fx.Node) -> bool:
    """A function of torch's or Python's own, which may be run while the graph is rewritten."""
    if node.op == "call_method":
        return True  # of a tensor that was computed here
    if node.op != "call_function":
        return False
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target.namespace in ("aten", "prims")
    return getattr(node.target, "__module__", None) in (*MAKES_NUMBERS, None, "torch._C._nn")
