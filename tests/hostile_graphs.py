"""ONNX and safetensors files that ask for what they must not have."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def graph_model(nodes: list[onnx.NodeProto], weights: list[TensorProto], **more: Any) -> bytes:
    """An ONNX file ``x [batch, 3] -> y`` around some nodes."""
    graph = helper.make_graph(
        nodes,
        "hostile",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        weights,
    )
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("my.ops", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8, **more)
    return model.SerializeToString()


def external(location: str, **keys: str) -> bytes:
    """An ONNX file whose weight lies in another file."""
    weight = numpy_helper.from_array(np.ones((3, 3), np.float32), "w")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **keys}.items():
        weight.external_data.add(key=key, value=value)
    return graph_model([helper.make_node("MatMul", ["x", "w"], ["y"])], [weight])


def custom_operator() -> bytes:
    return graph_model([helper.make_node("Steal", ["x"], ["y"], domain="my.ops")], [])


def custom_operator_inside_if() -> bytes:
    """The same, hidden in a branch."""
    out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])]
    evil = helper.make_graph(
        [helper.make_node("Steal", ["x"], ["y"], domain="my.ops")], "a", [], out
    )
    good = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "b", [], out)
    choice = numpy_helper.from_array(np.array(True), "c")
    node = helper.make_node("If", ["c"], ["y"], then_branch=evil, else_branch=good)
    return graph_model([node], [choice])


def compiled_context() -> bytes:
    """An operator of ONNX Runtime's own domain that loads a compiled blob."""
    node = helper.make_node(
        "EPContext", ["x"], ["y"], domain="com.microsoft", ep_cache_context="blob.bin", embed_mode=0
    )
    return graph_model([node], [])


def safetensors(header: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    said = len(header) if length is None else length
    return said.to_bytes(8, "little") + header + body


def two_floats(begin: int = 0, end: int = 8, shape: tuple[int, ...] = (2,)) -> bytes:
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    return json.dumps({"weight": entry}).encode()
