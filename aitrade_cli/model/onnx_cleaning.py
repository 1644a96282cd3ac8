"""What an exporter leaves behind and nobody needs: paths of source files, names, dead ends."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnxruntime
from onnx import GraphProto, ModelProto, numpy_helper

from aitrade_cli.model.onnx_graph import (
    Names,
    outputs_of,
    parse,
    read_by,
    remove_dead,
    serialize,
    set_opsets,
)
from aitrade_cli.model.onnx_padding import fold_padding

QUIET = 4


def strip(model: ModelProto) -> None:
    """Remove everything that does not compute: stack traces, doc strings, inferred shapes.

    The dynamo exporter writes the path of every source file into the graph.
    """
    model.producer_name = "aitrade"
    for name in ("producer_version", "domain", "doc_string", "model_version"):
        model.ClearField(name)
    del model.metadata_props[:]
    strip_graph(model.graph)
    model.graph.name = "model"
    for function in model.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        del function.value_info[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def strip_graph(graph: GraphProto) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
        for item in node.attribute:
            item.doc_string = ""
            for inner in (*item.graphs, *([item.g] if item.HasField("g") else ())):
                strip_graph(inner)
    for part in (*graph.initializer, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]


def fold(proto_bytes: bytes) -> bytes:
    """Compute what does not depend on the input, and strip the rest.

    ONNX Runtime's basic level: the result depends on no hardware. Dynamo hands an LSTM its
    weights through Slice and Concat; only after this are they initializers one can quantize.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        options.log_severity_level = QUIET
        onnxruntime.InferenceSession(proto_bytes, options, providers=["CPUExecutionProvider"])
        model = parse(path.read_bytes())
    tidy(model)
    fold_padding(model.graph)
    return serialize(model)


def tidy(model: ModelProto) -> None:
    """Constants become initializers, equal ones become one, the dead go, the notes go."""
    constants_to_initializers(model.graph)
    share_equal(model.graph)
    remove_dead(model.graph)
    strip(model)
    set_opsets(model)


def constants_to_initializers(graph: GraphProto) -> None:
    kept = []
    for node in graph.node:
        held = [item for item in node.attribute if item.name == "value"]
        if node.op_type == "Constant" and not node.domain and held:
            tensor = numpy_helper.to_array(held[0].t)
            graph.initializer.append(numpy_helper.from_array(tensor, node.output[0]))
        else:
            kept.append(node)
    if len(kept) < len(graph.node):
        copies = [type(node).FromString(node.SerializeToString()) for node in kept]
        del graph.node[:]
        graph.node.extend(copies)


def share_equal(graph: GraphProto) -> None:
    """Initializers with the same content become one, whatever they were called."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    renamed: dict[str, str] = {}
    protected = outputs_of(graph) | nested_reads(graph)
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        key = (tensor.data_type, tuple(tensor.dims), value.tobytes())
        if key in first and tensor.name not in protected:
            renamed[tensor.name] = first[key]
        first.setdefault(key, tensor.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)


def nested_reads(graph: GraphProto) -> set[str]:
    return {name for node in graph.node for name in read_by(node) if name not in node.input}


def shorten(model: ModelProto) -> None:
    """Give every tensor and node inside a short name; inputs and outputs keep theirs.

    Quantized graphs of small models are a tenth names otherwise.
    """
    graph = model.graph
    fixed = {value.name for value in (*graph.input, *graph.output)} | nested_reads(graph)
    short: dict[str, str] = {name: name for name in ("", *fixed)}
    names = Names(GraphProto(input=graph.input, output=graph.output))
    for name in fixed:
        names.fresh(name)
    counter = 0
    for tensor in graph.initializer:
        if tensor.name not in short:
            short[tensor.name] = names.fresh(letters(counter))
            counter += 1
        tensor.name = short[tensor.name]
    for node in graph.node:
        node.name = ""
        for name in node.output:
            if name not in short:
                short[name] = names.fresh(letters(counter))
                counter += 1
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]


def letters(number: int) -> str:
    """0, 1, … as a, b, …, z, aa, ab, …"""
    name = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        name = chr(ord("a") + digit) + name
    return name
