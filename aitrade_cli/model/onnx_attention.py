"""Attention written out as a dozen nodes becomes one.

Exporters spell scaled dot-product attention in many ways. What is looked for here is not the
spelling but the numbers: tensors of one run that are each other's reshaped copies.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Float32
from onnx import GraphProto, ModelProto, NodeProto, helper

from aitrade_cli.model.onnx_graph import (
    MICROSOFT,
    arrays,
    consumers,
    outputs_of,
    producers,
    remove_dead,
    replace_nodes,
)
from aitrade_cli.model.onnx_observe import observe

STEPS: Final = 10  # nodes between a projection and the product, at most
# Nodes that move numbers or scale them all alike.
CARRY: Final = frozenset(
    ("Transpose", "Reshape", "Mul", "Div", "Squeeze", "Unsqueeze", "Identity", "Cast")
)


@dataclass(frozen=True, slots=True)
class Attention:
    """One attention, by the names of its tensors: all ``[batch, time, width]``."""

    query: str
    key: str
    value: str
    output: str
    heads: int
    scale: float


def fuse_attention(model: ModelProto, window: Float32[np.ndarray, "batch time feature"]) -> int:
    """Replace each unmasked self-attention by one MultiHeadAttention node, in place.

    Args:
        model: a float graph, changed in place.
        window: two real windows or more, on which tensors are compared.

    Returns:
        How many were replaced.
    """
    graph = model.graph
    if not any(node.op_type == "Softmax" for node in graph.node):
        return 0
    search = Search(graph, observe(model, window))
    found = [made for node in graph.node if (made := search.around(node)) is not None]
    replaced = {attention.output for attention in found}
    nodes = [node for node in graph.node if not replaced.intersection(node.output)]
    replace_nodes(graph, [*nodes, *map(fused_node, found)])
    remove_dead(graph)
    return len(found)


def fused_node(attention: Attention) -> NodeProto:
    return helper.make_node(
        "MultiHeadAttention",
        [attention.query, attention.key, attention.value],
        [attention.output],
        domain=MICROSOFT,
        num_heads=attention.heads,
        scale=attention.scale,
    )


class Search:
    """Looks around softmax nodes."""

    def __init__(self, graph: GraphProto, seen: dict[str, np.ndarray]) -> None:
        self.seen = seen
        self.made_by = producers(graph)
        self.readers = consumers(graph)
        self.stored = set(arrays(graph))
        self.final = outputs_of(graph)

    def around(self, softmax: NodeProto) -> Attention | None:
        """The attention whose weights this node makes, where all of it is recognised."""
        if softmax.op_type != "Softmax":
            return None
        mix = self.only_reader(softmax.output[0])
        scores = self.product_behind(softmax.input[0])
        if mix is None or mix.op_type != "MatMul" or scores is None:
            return None
        if mix.input[0] != softmax.output[0]:
            return None
        query = self.projection(scores.input[0], (0, 2, 1, 3))
        key = self.projection(scores.input[1], (0, 2, 3, 1))
        value = self.projection(mix.input[1], (0, 2, 1, 3))
        output = self.joined(mix.output[0])
        if query is None or key is None or value is None or output is None:
            return None
        heads = self.seen[scores.input[0]].shape[1]
        scale = self.scale_of(softmax.input[0], query, key, heads)
        return None if scale is None else Attention(query, key, value, output, heads, scale)

    def only_reader(self, name: str) -> NodeProto | None:
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and name not in self.final else None

    def product_behind(self, name: str) -> NodeProto | None:
        for node in self.upstream(name):
            if node.op_type == "MatMul":
                both = all(self.seen[part].ndim == 4 for part in node.input)
                return node if both else None
            if node.op_type not in CARRY:
                return None
        return None

    def upstream(self, name: str) -> Iterator[NodeProto]:
        """The nodes that carried a tensor here, nearest first."""
        for _ in range(STEPS):
            node = self.made_by.get(name)
            if node is None:
                return
            yield node
            carried = [part for part in node.input if part and part not in self.stored]
            if not carried or node.op_type not in CARRY:
                return
            name = carried[0]

    def projection(self, name: str, order: tuple[int, ...]) -> str | None:
        """The ``[batch, time, width]`` tensor that, cut into heads and scaled, is this one."""
        split = self.seen[name]
        for node in self.upstream(name):
            for source in node.input:
                whole = self.seen.get(source)
                if source in self.stored or whole is None or whole.ndim != 3:
                    continue
                if whole.size == split.size and same_but_scaled(split, whole, order):
                    return source
        return None

    def joined(self, name: str) -> str | None:
        """The ``[batch, time, width]`` tensor that the heads are put together in."""
        wanted = self.seen[name].transpose(0, 2, 1, 3)
        wanted = wanted.reshape(*wanted.shape[:2], -1)
        for _ in range(STEPS):
            node = self.only_reader(name)
            if node is None or node.op_type not in ("Transpose", "Reshape", "Identity"):
                return None
            name = node.output[0]
            made = self.seen[name]
            if made.shape == wanted.shape and np.array_equal(made, wanted):
                return name
        return None

    def scale_of(self, scores: str, query: str, key: str, heads: int) -> float | None:
        """What ``query @ key`` was multiplied with; None where something was added, a mask say."""
        product = cut(self.seen[query], heads, (0, 2, 1, 3)) @ cut(
            self.seen[key], heads, (0, 2, 3, 1)
        )
        given = self.seen[scores]
        if product.shape != given.shape or not np.isfinite(given).all():
            return None
        scale = float(np.vdot(product, given) / max(float(np.vdot(product, product)), 1e-30))
        return scale if np.allclose(product * scale, given, rtol=1e-3, atol=1e-4) else None


def cut(
    whole: Float[np.ndarray, "batch time width"], heads: int, order: tuple[int, ...]
) -> Float[np.ndarray, "batch heads _ _"]:
    return whole.reshape(*whole.shape[:2], heads, -1).transpose(order)


def same_but_scaled(
    split: Float[np.ndarray, "batch heads _ _"],
    whole: Float[np.ndarray, "batch time width"],
    order: tuple[int, ...],
) -> bool:
    expected = cut(whole, split.shape[1], order)
    if expected.shape != split.shape:
        return False
    norm = float(np.vdot(expected, expected))
    factor = float(np.vdot(expected, split)) / norm if norm else 1.0
    return bool(np.allclose(expected * factor, split, rtol=1e-4, atol=1e-5))
