"""How much of a graph is really INT8: counted from the graph, never from what was asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Float32
from onnx import ModelProto, NodeProto, TensorProto

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_graph import attribute, parse, producers
from aitrade_cli.model.onnx_observe import observe

# Operator -> inputs that are weights.
WEIGHT_INPUTS: Final[dict[str, tuple[int, ...]]] = {
    "MatMul": (1,),
    "Gemm": (1,),
    "Conv": (1,),
    "ConvTranspose": (1,),
    "LSTM": (1, 2),
    "GRU": (1, 2),
    "RNN": (1, 2),
    "Gather": (0,),
    "DynamicQuantizeMatMul": (1,),
    "MatMulIntegerToFloat": (1,),
    "MatMulInteger": (1,),
    "ConvInteger": (1,),
    "QGemm": (3,),
    "QLinearMatMul": (3,),
    "QLinearConv": (3,),
    "DynamicQuantizeLSTM": (1, 2),
    "MatMulNBits": (1,),
}
INTEGER: Final = frozenset(
    (
        "DynamicQuantizeMatMul",
        "MatMulIntegerToFloat",
        "MatMulInteger",
        "ConvInteger",
        "QGemm",
        "QLinearMatMul",
        "QLinearConv",
        "DynamicQuantizeLSTM",
    )
)
BITS: Final[dict[int, int]] = {
    TensorProto.INT4: 4,
    TensorProto.UINT4: 4,
    TensorProto.INT8: 8,
    TensorProto.UINT8: 8,
    TensorProto.FLOAT16: 16,
    TensorProto.BFLOAT16: 16,
}
RECURRENT: Final = frozenset(("LSTM", "GRU", "RNN", "DynamicQuantizeLSTM"))
CONVOLUTIONS: Final = frozenset(("Conv", "ConvInteger", "QLinearConv"))
PRODUCTS: Final = frozenset(("MultiHeadAttention", "FusedMatMul"))
FLOATS: Final = frozenset((TensorProto.FLOAT, TensorProto.DOUBLE))


@dataclass(frozen=True, slots=True)
class WeightCoverage:
    """What became of the parameters of a float graph.

    Attributes:
        parameters_total: numbers the float graph stores.
        int8_stored: weights now stored in 8 bits.
        int4_stored: weights now stored in 4 bits.
        half_stored: weights now stored in 16 bits.
        int8_computed: weights that enter the arithmetic as INT8, stored so or not.
        macs_total: multiply-accumulates of one window.
        macs_int8: those that are done in INT8.
    """

    parameters_total: int
    int8_stored: int
    int4_stored: int
    half_stored: int
    int8_computed: int
    macs_total: int
    macs_int8: int

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = (
        "int8_share",
        "stored_share",
        "computed_share",
        "mac_share",
    )

    @property
    def changed(self) -> int:
        """Weights stored another way than before."""
        return self.int8_stored + self.int4_stored + self.half_stored

    @property
    def int8_share(self) -> float:
        """Share of the parameters stored in 8 bits, 0..1."""
        return self.int8_stored / self.parameters_total if self.parameters_total else 0.0

    @property
    def stored_share(self) -> float:
        """Share of the parameters stored in fewer bits than before, 0..1."""
        return self.changed / self.parameters_total if self.parameters_total else 0.0

    @property
    def computed_share(self) -> float:
        """Share of the parameters multiplied as INT8, 0..1."""
        return self.int8_computed / self.parameters_total if self.parameters_total else 0.0

    @property
    def mac_share(self) -> float:
        """Share of the multiply-accumulates done in INT8, 0..1."""
        return self.macs_int8 / self.macs_total if self.macs_total else 0.0


def coverage(
    before: OnnxGraph, after: OnnxGraph, window: Float32[np.ndarray, "1 time feature"]
) -> WeightCoverage:
    """Count what a quantization changed.

    Args:
        before: the float graph.
        after: the graph made from it.
        window: one window, which the MACs are counted for.
    """
    total = parameters(parse(before.proto_bytes))
    model = parse(after.proto_bytes)
    seen = observe(model, window)
    counted = Counted(model)
    stored, computed, macs, macs_int8 = {4: 0, 8: 0, 16: 0}, 0, 0, 0
    for node in model.graph.node:
        work = multiply_accumulates(node, seen)
        integer = counted.computes_int8(node)
        macs += work
        macs_int8 += work if integer else 0
        for name, root in counted.weights_of(node):
            bits = counted.bits_of(root)
            size = numbers_in(node, seen[name])
            if bits in stored:
                stored[bits] += size
            computed += size if integer else 0
    return WeightCoverage(total, stored[8], stored[4], stored[16], computed, macs, macs_int8)


def parameters(model: ModelProto) -> int:
    """Numbers stored as float vectors or matrices, narrower weights counted as numbers too."""
    kinds = {*FLOATS, *BITS}
    return sum(
        int(np.prod(tensor.dims))
        for tensor in model.graph.initializer
        if tensor.dims and tensor.data_type in kinds
    )


class Counted:
    """Finds, for each node, which stored weights it reads and how they are used."""

    def __init__(self, model: ModelProto) -> None:
        self._stored = {tensor.name: tensor for tensor in model.graph.initializer}
        self._made_by = producers(model.graph)
        self._seen: set[str] = set()
        self._packed = set(self.packed())

    def weights_of(self, node: NodeProto) -> list[tuple[str, str]]:
        """The node's weight inputs, each with the stored tensor behind it, at its first use."""
        found = []
        for index in WEIGHT_INPUTS.get(node.op_type, ()):
            name = node.input[index] if index < len(node.input) else ""
            root = self.root_of(name)
            if root and root not in self._seen:
                self._seen.add(root)
                found.append((name, root))
        return found

    def root_of(self, name: str) -> str | None:
        """Follow decoding nodes back to the stored tensor; None for an activation."""
        while name and name not in self._stored:
            node = self._made_by.get(name)
            # Decoding reads one stored array and constants; its first input leads to it.
            if node is None or node.op_type not in DECODING or not node.input:
                return None
            name = node.input[0]
        return name if name and len(self._stored[name].dims) > 1 else None

    def bits_of(self, root: str) -> int:
        """Bits of each stored number."""
        return 4 if root in self._packed else BITS.get(self._stored[root].data_type, 32)

    def packed(self) -> Iterator[str]:
        """Names of the bytes that hold two 4-bit numbers each."""
        for node in self._made_by.values():
            if node.op_type == "MatMulNBits":
                yield node.input[1]
            # What decodes a weight halves each byte by a division; see `stored.encode_int4`.
            source = self._made_by.get(node.input[0]) if node.op_type == "Div" else None
            if source is not None and source.op_type == "Cast":
                yield source.input[0]

    def computes_int8(self, node: NodeProto) -> bool:
        """The node multiplies integers: by its own kind, or between dequantize nodes."""
        if node.op_type in INTEGER:
            return True
        if node.op_type == "MatMulNBits":
            return attribute(node, "accuracy_level", 0) == 4
        if node.op_type not in ("MatMul", "Gemm", "Conv"):
            return False
        sources = [self._made_by.get(name) for name in node.input[:2]]
        return all(
            source is not None and source.op_type == "DequantizeLinear" for source in sources
        )


DECODING: Final = frozenset(
    (
        *("Cast", "Mul", "Sub", "Div", "Floor", "Concat", "Reshape", "Slice", "Transpose"),
        "DequantizeLinear",
    )
)


def numbers_in(node: NodeProto, weight: np.ndarray) -> int:
    """How many weights a node's input is; padding of blocks is none."""
    if node.op_type == "MatMulNBits":
        return attribute(node, "N", 0) * attribute(node, "K", 0)
    return weight.size


def multiply_accumulates(node: NodeProto, seen: dict[str, np.ndarray]) -> int:
    """Of one node, for the tensors that were seen."""
    kind = node.op_type
    if kind == "Gather" or (kind not in WEIGHT_INPUTS and kind not in PRODUCTS):
        return 0
    first, *others = [seen[name].shape for name in node.input if name in seen]
    if kind in RECURRENT:
        # Every step multiplies both matrices once: inputs by the one, the state by the other.
        return first[0] * first[1] * sum(seen[node.input[place]].size for place in (1, 2))
    if kind == "MultiHeadAttention":
        batch, asked, width = first
        return 2 * batch * asked * others[0][1] * width
    if kind == "ConvTranspose":
        return math.prod(first) * math.prod(others[0][1:])
    out = seen[node.output[0]].size
    if kind in CONVOLUTIONS:
        return out * math.prod(seen[node.input[WEIGHT_INPUTS[kind][0]]].shape[1:])
    turned = kind == "Gemm" and attribute(node, "transA", 0)
    return out * first[0 if turned else -1]
