"""A decision reads the last step of a window; what only earlier steps needed is not computed.

Where a graph takes the last row of ``[batch, time, width]`` at its end, every row-wise node
before it can work on that row alone. In the last layer of a transformer that is the output
projection and both feed-forward layers: a sixth of all arithmetic in four layers.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Float32
from onnx import GraphProto, ModelProto, NodeProto, helper

from aitrade_cli.model.onnx_graph import (
    Names,
    add_array,
    arrays,
    attribute,
    consumers,
    outputs_of,
    producers,
    remove_dead,
    replace_nodes,
)
from aitrade_cli.model.onnx_observe import observe

# Each output row depends on the same row of the inputs.
ELEMENTWISE: Final = frozenset(
    (
        *("Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Neg", "Abs", "Clip", "Identity"),
        *("Relu", "LeakyRelu", "Elu", "Gelu", "Erf", "Sigmoid", "Tanh", "Softplus"),
        *("HardSigmoid", "HardSwish"),
    )
)


def read_last_step_early(
    model: ModelProto, window: Float32[np.ndarray, "batch time feature"]
) -> int:
    """Move the choice of the last step up the graph as far as it goes, in place.

    Exact: the same sums over the same numbers, fewer of them.

    Args:
        model: a float graph, changed in place.
        window: real windows, to learn the tensors' shapes from.

    Returns:
        How many nodes work on one row now.
    """
    graph = model.graph
    ends = [node for node in graph.node if takes_last(node, arrays(graph))]
    if not ends:
        return 0
    seen = observe(model, window)
    ends = [node for node in ends if seen[node.input[0]].ndim == 3]
    return sum(Narrowing(graph, seen).upward(node.output[0]) for node in ends)


def takes_last(node: NodeProto, values: dict[str, np.ndarray]) -> bool:
    if node.op_type != "Gather" or attribute(node, "axis", 0) != 1:
        return False
    index = values.get(node.input[1])
    return index is not None and index.size == 1 and int(index.reshape(())) == -1


class Narrowing:
    """Walks up from one Gather."""

    def __init__(self, graph: GraphProto, seen: dict[str, np.ndarray]) -> None:
        self.graph = graph
        self.seen = seen
        self.stored = set(arrays(graph))
        self.names = Names(graph)
        self.made_by = producers(graph)
        self.readers = consumers(graph)
        self.final = outputs_of(graph)
        self.narrow: dict[str, str] = {}
        self.moved: set[str] = set()
        self.added: list[NodeProto] = []
        self.index = add_array(graph, self.names, "last", np.array([-1]))

    def upward(self, end: str) -> int:
        gather = self.made_by[end]
        before = gather.input[0]
        self.moved.add(end)
        narrowed = self.last_of(before)
        gather.input[0] = narrowed
        replace_nodes(self.graph, [*self.graph.node, *self.added])
        remove_dead(self.graph)
        return sum(node.op_type != "Gather" for node in self.added)

    def last_of(self, name: str) -> str:
        """The name of ``name[:, -1:]``."""
        if name in self.narrow:
            return self.narrow[name]
        node = self.made_by.get(name)
        inputs = None if node is None or not self.only_for_us(name) else self.row_inputs(node)
        made = self.names.fresh(f"{name}.last")
        self.narrow[name] = made
        if node is None or inputs is None:
            self.added.append(helper.make_node("Gather", [name, self.index], [made], axis=1))
            return made
        self.moved.add(name)
        copy = NodeProto.FromString(node.SerializeToString())
        copy.name = ""
        copy.output[0] = made
        for place in inputs:
            copy.input[place] = self.last_of(node.input[place])
        self.added.append(copy)
        return made

    def only_for_us(self, name: str) -> bool:
        """Nobody else needs the other rows."""
        if name in self.final:
            return False
        return all(reader.output[0] in self.moved for reader in self.readers[name])

    def row_inputs(self, node: NodeProto) -> list[int] | None:
        """Which inputs to narrow, or None where rows depend on one another."""
        if len([name for name in node.output if name]) > 1:
            return None
        if node.op_type in ELEMENTWISE:
            return self.elementwise_inputs(node)
        if node.op_type == "LayerNormalization" and attribute(node, "axis", -1) in (-1, 2):
            return [0]
        if node.op_type == "MatMul" and node.input[1] in self.stored:
            return [0] if self.seen[node.input[1]].ndim == 2 else None
        if node.op_type == "MultiHeadAttention" and len([n for n in node.input if n]) == 3:
            return [0]
        return None

    def elementwise_inputs(self, node: NodeProto) -> list[int] | None:
        full = self.seen[node.output[0]].shape
        places = []
        for place, name in enumerate(node.input):
            shape = self.seen[name].shape
            if shape == full:
                places.append(place)
            elif len(shape) >= 2 and shape[-2] != 1:
                return None  # it has a time axis of its own
        return places
