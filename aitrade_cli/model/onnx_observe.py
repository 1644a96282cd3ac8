"""The shape and values of every tensor in a graph, seen by running it. Torch-free."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from jaxtyping import Float32
from onnx import ModelProto

from aitrade_cli.model.onnx_graph import arrays, serialize
from aitrade_cli.model.onnx_interface import input_of

QUIET = 4


def observe(
    model: ModelProto, window: Float32[np.ndarray, "batch time feature"]
) -> dict[str, np.ndarray]:
    """Run the graph once and return every tensor in it, weights included.

    Declared and inferred shapes are hearsay; this is what happens.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    known = {value.name for value in opened.graph.output}
    for node in opened.graph.node:
        for name in node.output:
            if name and name not in known:
                opened.graph.output.append(onnx.ValueInfoProto(name=name))
                known.add(name)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = QUIET
    session = onnxruntime.InferenceSession(
        serialize(opened), options, providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    values = session.run(names, {input_of(model).name: window})
    seen = {name: np.asarray(value) for name, value in zip(names, values, strict=True)}
    return {input_of(model).name: window, **arrays(model.graph), **seen}
