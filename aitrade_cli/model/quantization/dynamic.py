"""INT8 without calibration: activations are scaled anew in each call."""

from __future__ import annotations

from collections.abc import Collection

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_cleaning import shorten, tidy
from aitrade_cli.model.onnx_graph import parse, serialize
from aitrade_cli.model.quantization.instructions import weight_top
from aitrade_cli.model.quantization.linear import quantize_linear
from aitrade_cli.model.quantization.recurrent import quantize_lstm, store_gru
from aitrade_cli.model.quantization.stored import store_weights


def quantize_dynamic(
    graph: OnnxGraph,
    *,
    keep: Collection[str] = (),
    per_channel: bool = True,
    reduce_range: bool | None = None,
) -> OnnxGraph:
    """Linear layers and LSTMs compute in INT8; GRUs and convolutions are stored in INT8.

    A convolution with activations scaled per call (ConvInteger) runs slower than in float32,
    so its weights are only stored in INT8 here; calibrate with `quantize_static` to compute it.

    Args:
        graph: a float graph; `prepare` it first.
        keep: names of layers, see `layers_of`, to leave in float.
        per_channel: a scale for each output of a weight, else one for each matrix: a little
            faster and less exact. What is only stored always has a scale for each output.
        reduce_range: weights of 7 bits, for processors whose products saturate; None asks.
    """
    model = parse(graph.proto_bytes)
    top = weight_top(reduce_range)
    quantize_linear(model, keep, per_channel=per_channel, top=top)
    quantize_lstm(model, keep, per_channel=per_channel, top=top)
    store_gru(model, keep)
    store_weights(model, "int8", keep, kinds=("Conv",))
    tidy(model)
    shorten(model)
    return OnnxGraph(serialize(model))
