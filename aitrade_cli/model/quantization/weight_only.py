"""Weights in 8 or 4 bits, activations in float32."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal

import numpy as np
from onnx import ModelProto, helper

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_cleaning import shorten, tidy
from aitrade_cli.model.onnx_graph import (
    MICROSOFT,
    Names,
    add_array,
    arrays,
    parse,
    remove_dead,
    replace_nodes,
    serialize,
)
from aitrade_cli.model.quantization.integers import neighbours_in_bytes, to_int4
from aitrade_cli.model.quantization.layers import chosen, float_shapes, layer_of
from aitrade_cli.model.quantization.linear import LINEAR, turned
from aitrade_cli.model.quantization.stored import store_weights

BLOCK: Final = 32
IN_INT8: Final = 4  # MatMulNBits' accuracy level: activations as int8, blockwise


def quantize_weight_only(
    graph: OnnxGraph,
    bits: Literal[4, 8] = 8,
    *,
    keep: Collection[str] = (),
    block: int = BLOCK,
) -> OnnxGraph:
    """Store all weights in fewer bits.

    With 8 bits everything computes in float32 at float32's speed. With 4, linear layers run
    as ONNX Runtime's 4-bit product; recurrent and convolution weights are only stored so.

    Args:
        graph: a float graph; `prepare` it first.
        bits: 8 or 4.
        keep: names of layers to leave in float.
        block: weights that share a scale with 4 bits: 16, 32, 64, 128 or 256.
    """
    model = parse(graph.proto_bytes)
    if bits == 4:
        quantize_linear_4bit(model, keep, block)
    store_weights(model, "int4" if bits == 4 else "int8", keep)
    tidy(model)
    shorten(model)
    return OnnxGraph(serialize(model))


def quantize_linear_4bit(
    model: ModelProto, keep: Collection[str] = (), block: int = BLOCK
) -> tuple[str, ...]:
    """Make linear layers 4-bit products, in place. A Gemm becomes a product and an Add.

    Returns:
        The names of the layers that were changed.
    """
    graph = model.graph
    wanted = {layer.name for layer in chosen(graph, LINEAR, keep)}
    stored = float_shapes(graph)
    values, names = arrays(graph), Names(graph)
    nodes, changed = [], []
    for node in graph.node:
        layer = layer_of(node, stored)
        if layer is None or layer.name not in wanted:
            nodes.append(node)
            continue
        value = values[layer.weights[0]]
        rows = np.ascontiguousarray(value if turned(node) else value.T, dtype=np.float32)
        packed = to_int4(rows, block)
        stem = layer.weights[0]
        weight = add_array(graph, names, f"{stem}.int4", neighbours_in_bytes(packed.integers))
        scale = add_array(graph, names, f"{stem}.scale", packed.scale.reshape(-1))
        biased = len(node.input) > 2 and bool(node.input[2])
        product = names.fresh(f"{stem}.product") if biased else node.output[0]
        size = {"N": rows.shape[0], "K": rows.shape[1], "bits": 4, "block_size": block}
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [node.input[0], weight, scale],
                [product],
                domain=MICROSOFT,
                accuracy_level=IN_INT8,
                **size,
            )
        )
        if biased:
            nodes.append(helper.make_node("Add", [product, node.input[2]], node.output))
        changed.append(layer.name)
    replace_nodes(graph, nodes)
    remove_dead(graph)
    return tuple(dict.fromkeys(changed))
