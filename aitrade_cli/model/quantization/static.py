"""INT8 with activation ranges calibrated beforehand: what convolutions need to be fast."""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float
from onnx import ModelProto
from onnxruntime.quantization import QuantFormat, QuantType
from onnxruntime.quantization import quantize_static as ort_quantize_static

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_cleaning import shorten, tidy
from aitrade_cli.model.onnx_graph import parse, serialize
from aitrade_cli.model.onnx_interface import input_of
from aitrade_cli.model.quantization.calibration import METHODS, Method, Windows
from aitrade_cli.model.quantization.instructions import saturates
from aitrade_cli.model.quantization.layers import layers_of
from aitrade_cli.model.quantization.recurrent import quantize_lstm, store_gru

PERCENTILE: Final = 99.99
# Layers with weights, and what may stay in INT8 between them. Not softmax, not normalization.
BETWEEN: Final = ("Relu", "LeakyRelu", "Clip", "MaxPool", "Concat", "Add", "Pad")
STATIC: Final = frozenset(("MatMul", "Gemm", "Conv"))


def quantize_static(
    graph: OnnxGraph,
    windows: Float[np.ndarray, "n time feature"],
    *,
    method: Method = "min-max",
    keep: Collection[str] = (),
    per_channel: bool = True,
    reduce_range: bool | None = None,
    between: bool = True,
) -> OnnxGraph:
    """Convolutions and linear layers between quantize and dequantize nodes (QDQ).

    LSTMs scale their activations per call, as in `quantize_dynamic`; GRUs are stored in INT8.
    Activations are uint8, weights int8: the order x86 has instructions for.

    Args:
        graph: a float graph; `prepare` it first.
        windows: real ones, at least 16, from before anything the model is judged on.
        method: of choosing ranges. ``min-max`` clips nothing that was seen; ``percentile``
            gives up 0.01 % at the ends; ``entropy`` keeps the histogram's shape.
        keep: names of layers to leave in float.
        per_channel: a scale for each output of a weight.
        reduce_range: weights of 7 bits, for processors whose products saturate; None asks.
        between: activations, pooling and sums between layers stay in INT8 as well.

    Raises:
        TooFewWindows: fewer than 16.
    """
    model = parse(graph.proto_bytes)
    reduced = saturates() if reduce_range is None else reduce_range
    kept = keep_nodes(model, keep)
    if any(layer.kind in STATIC and layer.name not in keep for layer in layers_of(model.graph)):
        reader = Windows(input_of(model).name, windows)
        model = with_ranges(model, reader, method, kept, per_channel, reduced, between)
    quantize_lstm(model, keep, per_channel=per_channel)
    store_gru(model, keep)
    tidy(model)
    shorten(model)
    return OnnxGraph(serialize(model))


def keep_nodes(model: ModelProto, keep: Collection[str]) -> list[str]:
    """Name every node after its place, and return the names of those to leave alone."""
    layers = {layer.weights[0]: layer.name for layer in layers_of(model.graph)}
    kept = []
    for index, node in enumerate(model.graph.node):
        node.name = f"n{index}"
        if len(node.input) > 1 and layers.get(node.input[1]) in keep:
            kept.append(node.name)
    return kept


def with_ranges(
    model: ModelProto,
    reader: Windows,
    method: Method,
    kept: list[str],
    per_channel: bool,
    reduced: bool,
    between: bool,
) -> ModelProto:
    """Calibrate and insert the quantize and dequantize nodes."""
    with tempfile.TemporaryDirectory() as folder, hushed():
        path = Path(folder) / "static.onnx"
        ort_quantize_static(
            model,
            path,
            reader,
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=[*sorted(STATIC), *(BETWEEN if between else ())],
            per_channel=per_channel,
            reduce_range=reduced,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=kept,
            calibrate_method=METHODS[method],
            extra_options={
                "MatMulConstBOnly": True,
                "CalibPercentile": PERCENTILE,
                "WeightSymmetric": True,
            },
        )
        return parse(path.read_bytes())


@contextmanager
def hushed() -> Iterator[None]:
    """ONNX Runtime's tools advise on the root logger to do what `prepare` has done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()):  # calibrators print what they do
            yield
    finally:
        logging.disable(before)
