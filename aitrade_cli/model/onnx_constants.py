"""Shape arithmetic that always gives the same, and initial states that are always zero.

Exporters compute a head's size or a slice's end from the input's shape in each call, though
only batch and time can change. A node costs a small model a hundredth of its time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from jaxtyping import Float32
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper

from aitrade_cli.model.onnx_graph import outputs_of, producers, read_by, remove_dead
from aitrade_cli.model.onnx_observe import observe

LARGEST: Final = 16  # numbers; anything longer is no shape
INITIAL_STATES: Final = {"LSTM": (5, 6), "GRU": (5,), "RNN": (5,)}

Windows = Sequence[Float32[np.ndarray, "batch time feature"]]
Seen = Sequence[Mapping[str, np.ndarray]]


def freeze_constants(model: ModelProto, shapes: Windows) -> int:
    """Store what no batch size and no length changes, in place.

    Args:
        model: a float graph, changed in place.
        shapes: windows in every combination of batch and length that the graph takes.

    Returns:
        How many tensors are stored now, or dropped.
    """
    graph = model.graph
    seen = [observe(model, window) for window in shapes]
    from_shapes = shape_arithmetic(graph)
    frozen = [name for name in from_shapes if constant(name, seen)]
    for node in graph.node:
        for index, name in enumerate(node.output):
            if name in frozen:
                node.output[index] = f"{name}.computed"
    for name in frozen:
        graph.initializer.append(numpy_helper.from_array(np.asarray(seen[0][name]), name))
    dropped = sum(drop_zero_states(node, graph, seen) for node in graph.node)
    if frozen or dropped:
        remove_dead(graph)
    return len(frozen) + dropped


def shape_arithmetic(graph: GraphProto) -> list[str]:
    """Tensors that depend on the shape of tensors only, never on what they hold."""
    known = {tensor.name for tensor in graph.initializer}
    found = []
    for node in graph.node:
        if node.op_type in ("Shape", "Size") or all(name in known for name in read_by(node)):
            known.update(node.output)
            found += node.output
    return [name for name in found if name and name not in outputs_of(graph)]


def constant(name: str, seen: Seen) -> bool:
    """Whole numbers or truths, a few of them, the same whatever came in."""
    first = seen[0].get(name)
    if first is None or first.size > LARGEST or first.dtype.kind not in "ib":
        return False
    return all(name in values and np.array_equal(values[name], first) for values in seen)


def drop_zero_states(node: NodeProto, graph: GraphProto, seen: Seen) -> int:
    """A recurrent node starts from zeros by itself; it need not be handed them."""
    made_by = producers(graph)
    dropped = 0
    for place in INITIAL_STATES.get(node.op_type, ()):
        name = node.input[place] if place < len(node.input) else ""
        if not name or not all(name in values and not values[name].any() for values in seen):
            continue
        if from_nothing(name, made_by):
            node.input[place] = ""
            dropped += 1
    while node.input and not node.input[-1]:
        node.input.pop()
    return dropped


def from_nothing(name: str, made_by: Mapping[str, NodeProto]) -> bool:
    """Made by filling a shape, so that it is zero by intent and not by accident."""
    node = made_by.get(name)
    while node is not None and node.op_type in ("Expand", "Slice", "Reshape", "Unsqueeze"):
        name = node.input[0]
        node = made_by.get(name)
    return node is None or node.op_type == "ConstantOfShape"
