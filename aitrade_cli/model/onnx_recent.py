"""Let a graph look back on the latest steps of its window only."""

from __future__ import annotations

import numpy as np
import onnx

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_graph import Names, add_array, parse, read_by, replace_nodes, serialize


class NoWindowToCut(BadInput):
    """The graph has no single input with a time axis to cut."""


def keep_recent(graph: OnnxGraph, steps: int) -> OnnxGraph:
    """Put a slice of the last ``steps`` rows in front of the graph.

    The input keeps its name and shape, so that whoever calls the model need not know. A
    window of fewer rows goes through whole. The rows cut off are never computed: a recurrent
    layer takes time in proportion to what is left.

    Args:
        graph: with one input ``[batch, time, feature]``.
        steps: rows to keep, counted from the newest, >= 1.

    Raises:
        NoWindowToCut: the graph takes something else, or ``steps`` is below 1.
    """
    model = parse(graph.proto_bytes)
    inputs = [one for one in model.graph.input if len(one.type.tensor_type.shape.dim) == 3]
    if len(model.graph.input) != 1 or not inputs or steps < 1:
        raise NoWindowToCut(f"`{steps}` latest steps cannot be cut from this graph's input")
    name = inputs[0].name
    names = Names(model.graph)
    latest = names.fresh(f"{name}_latest")
    for node in model.graph.node:
        if name in set(read_by(node)):
            node.input[:] = [latest if one == name else one for one in node.input]
    starts, ends, axes = (
        add_array(model.graph, names, f"{latest}_{word}", np.array([value], dtype=np.int64))
        for word, value in (("start", -steps), ("end", np.iinfo(np.int64).max), ("axis", 1))
    )
    cut = onnx.helper.make_node("Slice", [name, starts, ends, axes], [latest], name=latest)
    replace_nodes(model.graph, [cut, *model.graph.node])
    del model.graph.value_info[:]  # lengths that were inferred for the whole window
    return OnnxGraph(serialize(model))
