"""Reading and rewriting a ModelProto: the few moves every graph pass here is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TypeVar, cast

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

T = TypeVar("T")

MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators


def parse(proto_bytes: bytes) -> ModelProto:
    """A model of our own making or one the loader has vetted."""
    return onnx.load_model_from_string(proto_bytes)


def serialize(model: ModelProto) -> bytes:
    """The same model gives the same bytes."""
    return model.SerializeToString(deterministic=True)


def arrays(graph: GraphProto) -> dict[str, np.ndarray]:
    """Every initializer as an array, by name."""
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def attribute(node: NodeProto, name: str, default: T) -> T:
    """An attribute's value, or the default that the operator's rules give it."""
    for item in node.attribute:
        if item.name == name:
            value = onnx.helper.get_attribute_value(item)
            return cast(T, value.decode() if isinstance(value, bytes) else value)
    return default


def producers(graph: GraphProto) -> dict[str, NodeProto]:
    """The node that makes each tensor."""
    return {name: node for node in graph.node for name in node.output if name}


def consumers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    """The nodes that read each tensor, those in nested graphs through their outer node."""
    found: dict[str, list[NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in dict.fromkeys(read_by(node)):
            found[name].append(node)
    return found


def read_by(node: NodeProto) -> Iterator[str]:
    """Names that a node reads, in nested graphs too."""
    yield from filter(None, node.input)
    for item in node.attribute:
        for graph in (*item.graphs, *([item.g] if item.HasField("g") else ())):
            for inner in graph.node:
                yield from read_by(inner)
            yield from (value.name for value in graph.output)


def outputs_of(graph: GraphProto) -> set[str]:
    return {value.name for value in graph.output}


class Names:
    """Names that are not taken in a graph yet, the same ones each time."""

    def __init__(self, graph: GraphProto) -> None:
        self._taken = {name for node in graph.node for name in (*node.input, *node.output)}
        self._taken |= {tensor.name for tensor in graph.initializer}
        self._taken |= {value.name for value in (*graph.input, *graph.output)}

    def fresh(self, stem: str) -> str:
        """``stem``, or with the first number that makes it new."""
        name, number = stem, 1
        while name in self._taken:
            number += 1
            name = f"{stem}_{number}"
        self._taken.add(name)
        return name


def add_array(graph: GraphProto, names: Names, stem: str, value: np.ndarray | np.generic) -> str:
    """Store an initializer and return its name."""
    name = names.fresh(stem)
    graph.initializer.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
    return name


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Make ``nodes`` the graph's nodes, in an order that can be run."""
    wanted = list(nodes)
    ready = {tensor.name for tensor in graph.initializer} | {v.name for v in graph.input}
    made = {name for node in wanted for name in node.output}
    ordered: list[NodeProto] = []
    while wanted:
        rest = []
        for node in wanted:
            if all(name in ready or name not in made for name in read_by(node)):
                ordered.append(node)
                ready.update(node.output)
            else:
                rest.append(node)
        if len(rest) == len(wanted):
            raise ValueError("the graph has a cycle")
        wanted = rest
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in ordered]
    del graph.node[:]
    graph.node.extend(copies)


def remove_dead(graph: GraphProto) -> None:
    """Drop nodes and initializers that no output depends on."""
    needed = outputs_of(graph)
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(read_by(node))
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    replace_nodes(graph, reversed(kept))
    del graph.initializer[:]
    graph.initializer.extend(tensors)


def set_opsets(model: ModelProto) -> None:
    """Import the domains that are used, and no other."""
    used = {node.domain for node in model.graph.node} | {""}
    used |= {node.domain for function in model.functions for node in function.node}
    kept = [item for item in model.opset_import if item.domain in used]
    if MICROSOFT in used and all(item.domain != MICROSOFT for item in kept):
        kept.append(onnx.helper.make_opsetid(MICROSOFT, 1))
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda item: item.domain))


def opset_of(model: ModelProto) -> int:
    """The version of ONNX's own operators."""
    return next(item.version for item in model.opset_import if item.domain in ("", "ai.onnx"))
