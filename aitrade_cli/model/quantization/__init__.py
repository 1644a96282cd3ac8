"""Fewer bits for weights and activations: one technique a file, all on ONNX graphs."""

from aitrade_cli.model.quantization.dynamic import quantize_dynamic
from aitrade_cli.model.quantization.half import quantize_half
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.model.quantization.sensitivity import Kept, keep_in_float, rank_layers
from aitrade_cli.model.quantization.static import quantize_static
from aitrade_cli.model.quantization.weight_only import quantize_weight_only

__all__ = [
    "Kept",
    "keep_in_float",
    "prepare",
    "quantize_dynamic",
    "quantize_half",
    "quantize_static",
    "quantize_weight_only",
    "rank_layers",
]
