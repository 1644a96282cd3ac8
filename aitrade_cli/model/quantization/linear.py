"""Linear layers in INT8 with activations scaled anew in each call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, helper

from aitrade_cli.model.onnx_graph import (
    MICROSOFT,
    Names,
    add_array,
    arrays,
    attribute,
    consumers,
    outputs_of,
    remove_dead,
    replace_nodes,
)
from aitrade_cli.model.quantization.integers import INT8_TOP, to_int8
from aitrade_cli.model.quantization.layers import chosen, float_shapes, layer_of

LINEAR = frozenset(("MatMul", "Gemm"))


@dataclass(frozen=True, slots=True)
class Bias:
    """What is added to a product: a stored vector, and the node that added it, if one did."""

    name: str
    added_by: NodeProto | None = None


def quantize_linear(
    model: ModelProto,
    keep: Collection[str] = (),
    *,
    per_channel: bool = True,
    top: int = INT8_TOP,
) -> tuple[str, ...]:
    """Make MatMul and Gemm with stored weights multiply 8-bit integers, in place.

    Weights are int8; activations become uint8 with the scale of
    their own range, once for all layers that read the same tensor. Product, scaling and bias
    are one node.

    Args:
        model: changed in place.
        keep: names of layers to leave alone.
        per_channel: a scale for each output, else one for each matrix, which saves a pass
            over the outputs.
        top: largest weight level, 63 where products saturate.

    Returns:
        The names of the layers that were changed.
    """
    graph = model.graph
    work = {layer.weights[0]: layer.name for layer in chosen(graph, LINEAR, keep)}
    stored = float_shapes(graph)
    targets = [
        node
        for node in graph.node
        if layer_of(node, stored) is not None and node.op_type in LINEAR and node.input[1] in work
    ]
    rewriting = Rewriting(graph, targets, per_channel, top)
    replace_nodes(graph, rewriting.nodes())
    remove_dead(graph)
    return tuple(dict.fromkeys(work[node.input[1]] for node in targets))


class Rewriting:
    """One pass over a graph."""

    def __init__(
        self, graph: GraphProto, targets: list[NodeProto], per_channel: bool, top: int
    ) -> None:
        self.graph = graph
        self.targets = targets
        self.per_channel = per_channel
        self.top = top
        self.names = Names(graph)
        self.values = arrays(graph)
        self.readers = consumers(graph)
        self.final = outputs_of(graph)
        self.shared = {
            name for name, n in Counter(node.input[0] for node in targets).items() if n > 1
        }
        self.scaled: dict[str, list[str]] = {}
        self.weights: dict[tuple[str, bool], tuple[str, str]] = {}

    def nodes(self) -> list[NodeProto]:
        made: list[NodeProto] = []
        gone: set[int] = set()
        for node in self.targets:
            bias = self.bias_of(node)
            made += self.integer_product(node, bias)
            gone.add(id(node))
            if bias is not None and bias.added_by is not None:
                gone.add(id(bias.added_by))
        return [node for node in self.graph.node if id(node) not in gone] + made

    def bias_of(self, node: NodeProto) -> Bias | None:
        """The vector added to the product, by a Gemm itself or by the only Add behind a MatMul."""
        width = self.outputs(node)
        if node.op_type == "Gemm":
            if len(node.input) < 3 or not node.input[2]:
                return None
            return Bias(node.input[2]) if self.fits(node.input[2], width) else None
        readers = self.readers[node.output[0]]
        if len(readers) != 1 or readers[0].op_type != "Add" or node.output[0] in self.final:
            return None
        other = [name for name in readers[0].input if name != node.output[0]]
        if len(other) == 1 and self.fits(other[0], width):
            return Bias(other[0], readers[0])
        return None

    def fits(self, name: str, width: int) -> bool:
        value = self.values.get(name)
        return value is not None and value.size == width == value.shape[-1]

    def outputs(self, node: NodeProto) -> int:
        shape = self.values[node.input[1]].shape
        return shape[0] if turned(node) else shape[1]

    def integer_product(self, node: NodeProto, bias: Bias | None) -> list[NodeProto]:
        weight, scale = self.weight_of(node)
        added = "" if bias is None else self.vector(bias.name)
        output = node.output[0] if bias is None or not bias.added_by else bias.added_by.output[0]
        extra: list[NodeProto] = []
        if bias is None and node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]:
            # A bias that is no vector of its own: added behind, as Gemm would.
            product = self.names.fresh("product")
            extra = [helper.make_node("Add", [product, node.input[2]], [output])]
            output = product
        if node.input[0] not in self.shared:
            inputs = [node.input[0], weight, scale, "", added]
            return [fused("DynamicQuantizeMatMul", inputs, output), *extra]
        before = [] if node.input[0] in self.scaled else [self.quantizer(node.input[0])]
        integers, step, zero = self.scaled[node.input[0]]
        inputs = [integers, weight, step, scale, zero, "", added]
        return [*before, fused("MatMulIntegerToFloat", inputs, output), *extra]

    def quantizer(self, name: str) -> NodeProto:
        outputs = [self.names.fresh(f"{name}.{part}") for part in ("uint8", "scale", "zero")]
        self.scaled[name] = outputs
        return helper.make_node("DynamicQuantizeLinear", [name], outputs)

    def weight_of(self, node: NodeProto) -> tuple[str, str]:
        name = node.input[1]
        key = (name, turned(node))
        if key not in self.weights:
            value = self.values[name].T if turned(node) else self.values[name]
            axis = 0 if self.per_channel else None
            quantized = to_int8(np.ascontiguousarray(value, dtype=np.float32), axis, self.top)
            scale = quantized.scale[0] if self.per_channel else quantized.scale.reshape(())
            self.weights[key] = (
                add_array(self.graph, self.names, f"{name}.int8", quantized.integers),
                add_array(self.graph, self.names, f"{name}.scale", scale),
            )
        return self.weights[key]

    def vector(self, name: str) -> str:
        value = self.values[name]
        if value.ndim == 1:
            return name
        return add_array(self.graph, self.names, f"{name}.flat", value.reshape(-1))


def turned(node: NodeProto) -> bool:
    return node.op_type == "Gemm" and bool(attribute(node, "transB", 0))


def fused(kind: str, inputs: list[str], output: str) -> NodeProto:
    while inputs and not inputs[-1]:
        inputs = inputs[:-1]
    return helper.make_node(kind, inputs, [output], domain=MICROSOFT)
