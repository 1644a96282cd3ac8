"""Weights stored in fewer bits and decoded once, when a session opens.

The graph gets Cast and Mul nodes on constants. ONNX Runtime folds those at load (it refuses
to fold DequantizeLinear), so every kernel runs as it would in float32, prepacked weights and
all: the file is small and the speed is that of float32. This is what works for a GRU, of
which ONNX Runtime has no INT8 kernel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import ml_dtypes
import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper

from aitrade_cli.model.onnx_graph import Names, add_array, arrays, replace_nodes
from aitrade_cli.model.quantization.integers import halves_in_bytes, to_int4, to_int8
from aitrade_cli.model.quantization.layers import Layer, layers_of

Storage: TypeAlias = Literal["int8", "int4", "fp16", "bf16"]

BLOCK: Final = 32
FP16_TOP: Final = float(np.finfo(np.float16).max)


def store_weights(
    model: ModelProto, storage: Storage, keep: Collection[str] = (), *, kinds: Collection[str] = ()
) -> tuple[str, ...]:
    """Store the weights of layers in fewer bits, in place.

    Args:
        model: changed in place.
        storage: how each number is stored.
        keep: names of layers to leave alone.
        kinds: of layers, e.g. ``GRU``; all kinds where empty.

    Returns:
        The names of the layers that were changed.
    """
    graph = model.graph
    values = arrays(graph)
    names = Names(graph)
    encode = ENCODERS[storage]
    done, changed, nodes = set(), [], list(graph.node)
    for layer in layers_of(graph):
        if layer.name in keep or (kinds and layer.kind not in kinds):
            continue
        for weight in layer.weights:
            if weight not in done:
                nodes += encode(graph, names, layer, weight, values[weight])
                done.add(weight)
        changed.append(layer.name)
    kept = [tensor for tensor in graph.initializer if tensor.name not in done]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    replace_nodes(graph, nodes)
    return tuple(changed)


def encode_int8(
    graph: GraphProto, names: Names, layer: Layer, name: str, value: np.ndarray
) -> list[NodeProto]:
    """One scale for each output."""
    quantized = to_int8(value.astype(np.float32), layer.inner)
    stored = add_array(graph, names, f"{name}.int8", quantized.integers)
    scale = add_array(graph, names, f"{name}.scale", quantized.scale)
    wide = names.fresh(f"{name}.wide")
    return [
        helper.make_node("Cast", [stored], [wide], to=TensorProto.FLOAT),
        helper.make_node("Mul", [wide, scale], [name]),
    ]


def encode_int4(
    graph: GraphProto, names: Names, layer: Layer, name: str, value: np.ndarray
) -> list[NodeProto]:
    """Two numbers a byte, blocks of 32 along the inputs with a scale each.

    Unpacked by arithmetic: a 4-bit tensor type needs an opset that the legacy exporter and
    older runtimes do not know.
    """
    outer = [axis for axis in range(value.ndim) if axis not in layer.inner]
    order = (*outer, *layer.inner)
    turned = value.transpose(order)
    rows = turned.reshape(math.prod(value.shape[axis] for axis in outer), -1)
    packed = to_int4(np.ascontiguousarray(rows, dtype=np.float32), BLOCK)
    put = partial(add_array, graph, names)
    stored = put(f"{name}.int4", halves_in_bytes(packed.integers))
    scale = put(f"{name}.scale", packed.scale)
    sixteen, eight = put("sixteen", np.float32(16)), put("eight", np.float32(8))
    padded = put("shape", np.array([len(rows), packed.integers.shape[1] * BLOCK]))
    bounds = [put("bound", np.array([bound])) for bound in (0, rows.shape[1], 1)]
    shape = put("shape", np.array(turned.shape))
    back = np.argsort(order).tolist()
    steps: list[tuple[str, list[str], dict[str, Any]]] = [
        ("Cast", [stored], {"to": TensorProto.FLOAT}),
        ("Div", ["0", sixteen], {}),
        ("Floor", ["1"], {}),
        ("Mul", ["2", sixteen], {}),
        ("Sub", ["0", "3"], {}),
        ("Concat", ["4", "2"], {"axis": -1}),
        ("Sub", ["5", eight], {}),
        ("Mul", ["6", scale], {}),
        ("Reshape", ["7", padded], {}),
        ("Slice", ["8", *bounds], {}),
        ("Reshape", ["9", shape], {}),
        ("Transpose", ["10"], {"perm": back}),
    ]
    made = [names.fresh(f"{name}.step") for _ in steps[1:]] + [name]
    return [
        helper.make_node(kind, [made[int(i)] if i.isdigit() else i for i in inputs], [out], **more)
        for (kind, inputs, more), out in zip(steps, made, strict=True)
    ]


def encode_half(
    graph: GraphProto,
    names: Names,
    layer: Layer,  # noqa: ARG001 -- the encoders are called alike
    name: str,
    value: np.ndarray,
    kind: Literal["fp16", "bf16"],
) -> list[NodeProto]:
    """Sixteen bits a number; fp16 keeps values beyond its range at its largest."""
    if kind == "fp16":
        narrow = np.clip(value, -FP16_TOP, FP16_TOP).astype(np.float16)
    else:
        narrow = value.astype(ml_dtypes.bfloat16)
    stored = add_array(graph, names, f"{name}.{kind}", narrow)
    return [helper.make_node("Cast", [stored], [name], to=TensorProto.FLOAT)]


Encoder: TypeAlias = Callable[[GraphProto, Names, Layer, str, np.ndarray], list[NodeProto]]

ENCODERS: Final[dict[Storage, Encoder]] = {
    "int8": encode_int8,
    "int4": encode_int4,
    "fp16": partial(encode_half, kind="fp16"),
    "bf16": partial(encode_half, kind="bf16"),
}
