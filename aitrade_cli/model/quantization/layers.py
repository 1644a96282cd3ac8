"""The layers of a graph that have weights to quantize."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
from onnx import GraphProto, NodeProto

from aitrade_cli.model.onnx_graph import attribute

WEIGHTS_AT: Final[dict[str, tuple[int, ...]]] = {
    "MatMul": (1,),
    "Gemm": (1,),
    "Conv": (1,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A node and its stored weights.

    Attributes:
        name: unique in its graph: the first weight's name, with the operator before it.
        kind: ``MatMul``, ``Gemm``, ``Conv``, ``LSTM`` or ``GRU``.
        weights: names of the initializers.
        parameters: how many numbers those hold.
        inner: the axes of a weight that one output sums over.
    """

    name: str
    kind: str
    weights: tuple[str, ...]
    parameters: int
    inner: tuple[int, ...]


def layer_of(node: NodeProto, stored: dict[str, tuple[int, ...]]) -> Layer | None:
    """The layer that a node is, or None where it has no weights of its own.

    Args:
        node: any node.
        stored: the shape of every float initializer, by name.
    """
    places = WEIGHTS_AT.get(node.op_type)
    if places is None or node.domain not in ("", "ai.onnx"):
        return None
    names = tuple(node.input[place] for place in places if place < len(node.input))
    if len(names) < len(places) or not all(name in stored for name in names):
        return None
    if node.op_type == "MatMul" and len(stored[names[0]]) != 2:
        return None
    if node.op_type == "Gemm" and not plain_gemm(node):
        return None
    count = sum(int(np.prod(stored[name])) for name in names)
    return Layer(f"{node.op_type} {names[0]}", node.op_type, names, count, inner_axes(node, stored))


def inner_axes(node: NodeProto, stored: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    if node.op_type == "Conv":
        return tuple(range(1, len(stored[node.input[1]])))
    if node.op_type in ("LSTM", "GRU"):
        return (2,)
    return (1,) if node.op_type == "Gemm" and attribute(node, "transB", 0) else (0,)


def plain_gemm(node: NodeProto) -> bool:
    """``x W + b`` or ``x Wᵀ + b``, and nothing scaled."""
    scaled = attribute(node, "alpha", 1.0) != 1.0 or attribute(node, "beta", 1.0) != 1.0
    return not scaled and not attribute(node, "transA", 0)


def float_shapes(graph: GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the float32 initializers."""
    return {t.name: tuple(t.dims) for t in graph.initializer if t.data_type == t.FLOAT}


def layers_of(graph: GraphProto) -> tuple[Layer, ...]:
    """Every layer, in the order of the graph."""
    stored = float_shapes(graph)
    found = (layer_of(node, stored) for node in graph.node)
    return tuple(layer for layer in found if layer is not None)


def chosen(graph: GraphProto, kinds: Collection[str], keep: Collection[str]) -> tuple[Layer, ...]:
    """The layers of these kinds that are not to be kept as they are."""
    return tuple(
        layer for layer in layers_of(graph) if layer.kind in kinds and layer.name not in keep
    )
