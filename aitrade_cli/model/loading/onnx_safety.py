"""ONNX: only operators that a runtime brings itself, only data from its own folder.

Torch-free, so that a process which only runs ONNX starts fast.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import onnx
from google.protobuf.message import DecodeError

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import METADATA_KEY, PROTOBUF_MAX, OnnxGraph, TooLargeForOnnx
from aitrade_cli.model.card import Card, TensorSpec
from aitrade_cli.model.loading.external_data import inline
from aitrade_cli.model.loading.limits import Limits
from aitrade_cli.model.loading.operators import CustomOperators
from aitrade_cli.model.loading.own import card_of_text
from aitrade_cli.model.loading.protobuf import count_messages, text

OWN_DOMAINS: Final = frozenset(
    (
        "",
        "ai.onnx",
        "ai.onnx.ml",
        "ai.onnx.preview",
        "com.microsoft",
        "com.microsoft.nchwc",
        "com.ms.internal.nhwc",
    )
)
# In the runtime's own domain, and yet doors to other code: Python, and compiled blobs.
DOORS: Final = frozenset(("PythonOp", "PythonOpGrad", "EPContext", "ATen", "ExternalGraph"))
DTYPES: Final[dict[int, str]] = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.BFLOAT16: "bfloat16",
    onnx.TensorProto.INT64: "int64",
    onnx.TensorProto.INT32: "int32",
    onnx.TensorProto.INT16: "int16",
    onnx.TensorProto.INT8: "int8",
    onnx.TensorProto.UINT8: "uint8",
    onnx.TensorProto.BOOL: "bool",
}
NESTING_MAX: Final = 32
DIMENSIONS_MAX: Final = 64
ELEMENTS_MAX: Final = 1 << 48
# A runtime's own operators are not in ONNX's registry, and a runtime works shapes out itself.
TOLERATED: Final = ("No Op registered", "No opset import", "Field 'shape' of 'type'")


class NotOnnx(BadInput):
    """The bytes look like ONNX and do not parse as ONNX."""

    default_hint = "export the model again: `aitrade export-onnx MODEL -o model.onnx`"


def read_onnx(data: bytes, folder: Path | None, limits: Limits) -> tuple[OnnxGraph, Card]:
    """Parse, vet and make self-contained.

    Args:
        data: a serialized ModelProto.
        folder: where external data may be read, links resolved; `None` allows none.
        limits: ceilings.

    Raises:
        NotOnnx: it does not parse, or breaks the rules of ONNX.
        CustomOperators: an operator lies outside ONNX's and ONNX Runtime's own domains.
        ClimbingPath: external data leads out of ``folder``.
        BadCard: our own metadata is damaged.
    """
    count_messages(data, limits)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise NotOnnx("the file does not parse as ONNX") from error
    if not model.HasField("graph") or not model.opset_import:
        raise NotOnnx("the file holds no ONNX graph")
    try:
        return vet_model(model, folder, limits)
    except UnicodeDecodeError as error:  # protobuf checks its texts only when they are read
        raise NotOnnx("the graph has a name that is no text") from error


def vet_model(
    model: onnx.ModelProto, folder: Path | None, limits: Limits
) -> tuple[OnnxGraph, Card]:
    """Operators, external data and rules of a parsed model; its own card is taken out."""
    check_operators(model)
    for tensor in every_tensor(model):
        check_tensor(tensor)
    inline(every_tensor(model), folder, limits)
    check_rules(model)
    own = take_metadata(model)
    card = card_of_text(own, limits) if own is not None else card_of_graph(model)
    if model.ByteSize() > PROTOBUF_MAX:
        raise TooLargeForOnnx(model.ByteSize())
    return OnnxGraph(model.SerializeToString(deterministic=True)), card


def check_operators(model: onnx.ModelProto) -> None:
    """Raise unless every operator is a runtime's own or a function inside the model.

    Raises:
        CustomOperators: one is not; all are named.
        NotOnnx: graphs are nested too deep.
    """
    inside = {(function.domain, function.name) for function in model.functions}
    foreign = [
        f"{node.domain}::{node.op_type}" if node.domain else node.op_type
        for node in every_node(model)
        if node.op_type in DOORS
        or (node.domain not in OWN_DOMAINS and (node.domain, node.op_type) not in inside)
    ]
    if foreign:
        raise CustomOperators(foreign)


def check_tensor(tensor: onnx.TensorProto) -> None:
    """Raise unless dtype and shape are ones that a tensor can have.

    Raises:
        NotOnnx: they are not.
    """
    if tensor.data_type not in onnx.TensorProto.DataType.values() or not tensor.data_type:
        raise NotOnnx(f"a tensor has the dtype {tensor.data_type}, which ONNX does not know")
    if any(extent < 0 for extent in tensor.dims) or math.prod(tensor.dims[:64]) > ELEMENTS_MAX:
        raise NotOnnx(f"a tensor has the shape {list(tensor.dims[:8])}")
    if len(tensor.dims) > DIMENSIONS_MAX:
        raise NotOnnx(f"a tensor has {len(tensor.dims)} axes")


def every_graph(model: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    """The graph, the functions, the training graphs and all that are nested in their nodes."""
    level: list[onnx.GraphProto | onnx.FunctionProto] = [model.graph, *model.functions]
    for training in model.training_info:
        level += [training.initialization, training.algorithm]
    for _ in range(NESTING_MAX):
        yield from level
        level = [
            graph
            for outer in level
            for node in outer.node
            for attribute in node.attribute
            for graph in (*attribute.graphs, *([attribute.g] if attribute.HasField("g") else ()))
        ]
        if not level:
            return
    raise NotOnnx(f"graphs are nested deeper than {NESTING_MAX} levels")


def every_node(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for graph in every_graph(model):
        yield from graph.node


def every_tensor(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every tensor, wherever a file may hide one."""
    for graph in every_graph(model):
        if isinstance(graph, onnx.GraphProto):
            yield from graph.initializer
            for sparse in graph.sparse_initializer:
                yield from (sparse.values, sparse.indices)
        else:
            yield from tensors_of(graph.attribute_proto)
        for node in graph.node:
            yield from tensors_of(node.attribute)


def tensors_of(attributes: Iterable[onnx.AttributeProto]) -> Iterator[onnx.TensorProto]:
    for attribute in attributes:
        if attribute.HasField("t"):
            yield attribute.t
        yield from attribute.tensors
        sparse = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
        for item in (*sparse, *attribute.sparse_tensors):
            yield from (item.values, item.indices)


def check_rules(model: onnx.ModelProto) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        if not any(reason in first for reason in TOLERATED):
            raise NotOnnx(f"the graph breaks the rules of ONNX: {first[:160]}") from error


def take_metadata(model: onnx.ModelProto) -> str | None:
    """Take our entry out of the metadata and return it; the last one counts, as in protobuf."""
    found = [entry.value for entry in model.metadata_props if entry.key == METADATA_KEY]
    others = [entry for entry in model.metadata_props if entry.key != METADATA_KEY]
    if found:
        del model.metadata_props[:]
        model.metadata_props.extend(others)
    return found[-1] if found else None


def card_of_graph(model: onnx.ModelProto) -> Card:
    """What a stranger's graph tells: its inputs and outputs."""
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(spec_of(value) for value in model.graph.input if value.name not in weights)
    return Card(inputs=inputs, outputs=tuple(spec_of(value) for value in model.graph.output))


def spec_of(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else text(axis.dim_param) or f"axis{index}"
        for index, axis in enumerate(tensor.shape.dim)
    )
    return TensorSpec(
        text(value.name), shape, DTYPES.get(tensor.elem_type, f"onnx{tensor.elem_type}")
    )
