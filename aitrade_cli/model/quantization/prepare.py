"""A float graph made ready to be quantized: the same numbers from fewer nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float, Float32
from onnx import ModelProto

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_attention import fuse_attention
from aitrade_cli.model.onnx_cleaning import fold, tidy
from aitrade_cli.model.onnx_constants import freeze_constants
from aitrade_cli.model.onnx_graph import parse, serialize
from aitrade_cli.model.onnx_interface import input_of, shape_of
from aitrade_cli.model.onnx_last_step import read_last_step_early
from aitrade_cli.model.runtimes.onnxruntime import OnnxRuntime

TOLERANCE: Final = 1e-4  # of the largest |output|, at least of 1

Shapes: TypeAlias = list[Float32[np.ndarray, "_ _ _"]]  # windows of several shapes
Rewriting: TypeAlias = Callable[[ModelProto, Shapes], int]

REWRITINGS: Final[tuple[Rewriting, ...]] = (
    freeze_constants,
    lambda model, shapes: fuse_attention(model, shapes[0]),
    lambda model, shapes: read_last_step_early(model, shapes[0]),
)


def prepare(graph: OnnxGraph, windows: Float[np.ndarray, "n time feature"]) -> OnnxGraph:
    """Fold constants, fuse attention, and compute only the last step where only it is read.

    Each rewriting is kept only if the graph then gives the same outputs at several shapes;
    else the graph goes on without it.

    Args:
        graph: any float graph of one input; one that is quantized already comes back folded.
        windows: a few real ones.
    """
    made = OnnxGraph(fold(graph.proto_bytes))
    shapes = shapes_for(made, windows)
    for rewrite in REWRITINGS:
        tried = rewritten(made, rewrite, shapes)
        if tried is not None and same(made, tried, shapes):
            made = tried
    return made


def rewritten(graph: OnnxGraph, rewrite: Rewriting, shapes: Shapes) -> OnnxGraph | None:
    """The graph after one rewriting; None where there was nothing to rewrite."""
    model = parse(graph.proto_bytes)
    try:
        if not rewrite(model, shapes):
            return None
        tidy(model)
        return OnnxGraph(fold(serialize(model)))
    except Exception:  # a graph of a kind we never saw goes on as it is
        return None


def shapes_for(graph: OnnxGraph, windows: Float[np.ndarray, "n time feature"]) -> Shapes:
    """Windows in the shapes that the graph declares it takes; two of full length first."""
    shape = shape_of(input_of(parse(graph.proto_bytes)))
    batch = shape[0] if isinstance(shape[0], int) else 2
    chosen = np.linspace(0, len(windows) - 1, batch).round().astype(int)
    full = np.ascontiguousarray(windows[chosen], dtype=np.float32)
    found = [full]
    if isinstance(shape[0], str):
        found.append(full[:1])
        found.append(np.concatenate([full, full, full]))
    if len(shape) == 3 and isinstance(shape[1], str):
        found.append(np.ascontiguousarray(full[:, -1:]))
        found.append(np.ascontiguousarray(full[:, full.shape[1] // 2 :]))
        found.append(np.concatenate([full, full[:, :5]], axis=1))
    return found


def same(before: OnnxGraph, after: OnnxGraph, shapes: Shapes) -> bool:
    """Both run everywhere and differ by rounding at most."""
    try:
        first, second = OnnxRuntime(before.proto_bytes), OnnxRuntime(after.proto_bytes)
        pairs = [(first.run(window), second.run(window)) for window in shapes]
    except Exception:  # whatever stops it, the rewriting is not to be kept
        return False
    return all(
        a.shape == b.shape and bool(np.abs(a - b).max() <= TOLERANCE * max(1.0, np.abs(a).max()))
        for a, b in pairs
    )
