"""Recurrent layers: LSTM computed in INT8, GRU stored in INT8 and computed in float32."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from aitrade_cli.model.onnx_graph import (
    MICROSOFT,
    Names,
    add_array,
    arrays,
    remove_dead,
    replace_nodes,
)
from aitrade_cli.model.quantization.integers import INT8_TOP, to_int8
from aitrade_cli.model.quantization.layers import chosen, float_shapes, layer_of
from aitrade_cli.model.quantization.stored import store_weights


def quantize_lstm(
    model: ModelProto,
    keep: Collection[str] = (),
    *,
    per_channel: bool = True,
    top: int = INT8_TOP,
) -> tuple[str, ...]:
    """Make LSTMs multiply 8-bit integers, gates and state staying float, in place.

    Args:
        model: changed in place.
        keep: names of layers to leave alone.
        per_channel: a scale for each gate of each unit, else one for each matrix, which is
            a tenth faster and less exact.
        top: largest weight level.

    Returns:
        The names of the layers that were changed.
    """
    graph = model.graph
    wanted = {layer.name for layer in chosen(graph, ("LSTM",), keep)}
    stored = float_shapes(graph)
    values, names = arrays(graph), Names(graph)
    nodes, changed = [], []
    for node in graph.node:
        layer = layer_of(node, stored)
        if layer is None or layer.name not in wanted:
            nodes.append(node)
            continue
        parts = [
            gate_weights(graph, names, name, values[name], per_channel, top)
            for name in layer.weights
        ]
        nodes.append(integer_lstm(node, parts))
        changed.append(layer.name)
    replace_nodes(graph, nodes)
    remove_dead(graph)
    return tuple(dict.fromkeys(changed))


def gate_weights(
    graph: GraphProto,
    names: Names,
    name: str,
    value: np.ndarray,
    per_channel: bool,
    top: int,
) -> tuple[str, str, str]:
    """Stored weight, scale and zero point of ``[direction, gate, input]``."""
    quantized = to_int8(value.astype(np.float32), 2 if per_channel else (1, 2), top)
    # The kernel wants [direction, input, gate].
    integers = np.ascontiguousarray(quantized.integers.transpose(0, 2, 1))
    scale = quantized.scale[:, :, 0] if per_channel else quantized.scale[:, 0, 0]
    zero = np.zeros(scale.shape, dtype=np.int8)
    return (
        add_array(graph, names, f"{name}.int8", integers),
        add_array(graph, names, f"{name}.scale", scale),
        add_array(graph, names, f"{name}.zero", zero),
    )


def integer_lstm(node: NodeProto, parts: list[tuple[str, str, str]]) -> NodeProto:
    (weight, weight_scale, weight_zero), (repeat, repeat_scale, repeat_zero) = parts
    rest = [*node.input[3:], *[""] * (8 - len(node.input))]
    inputs = [node.input[0], weight, repeat, *rest]
    inputs += [weight_scale, weight_zero, repeat_scale, repeat_zero]
    made = helper.make_node("DynamicQuantizeLSTM", inputs, node.output, domain=MICROSOFT)
    made.attribute.extend(item for item in node.attribute if item.name != "layout")
    return made


def store_gru(model: ModelProto, keep: Collection[str] = ()) -> tuple[str, ...]:
    """Store GRU weights in INT8, in place; the kernel stays ONNX Runtime's float32 one.

    ONNX Runtime has no INT8 GRU, and none of its LSTM can stand in: the reset gate acts
    inside the candidate state. Its float32 GRU is several times faster than torch's already.

    Returns:
        The names of the layers that were changed.
    """
    return store_weights(model, "int8", keep, kinds=("GRU",))
