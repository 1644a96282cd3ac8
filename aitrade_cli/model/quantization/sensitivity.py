"""Which layers a quantization hurts most, and how few in float are enough."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from jaxtyping import Float

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_graph import parse
from aitrade_cli.model.quantization.layers import Layer, layers_of
from aitrade_cli.model.runtimes.onnxruntime import OnnxRuntime

WINDOWS: Final = 32  # ranked on; the order of layers needs no more

Make: TypeAlias = Callable[[Collection[str]], OnnxGraph]  # layers to keep in float -> graph
Flips: TypeAlias = Callable[[OnnxGraph], float]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much the outputs move when one layer alone is quantized.

    Attributes:
        layer: its name.
        parameters: how many weights it has.
        error: root mean square of the outputs' change over that of the outputs, >= 0.
    """

    layer: str
    parameters: int
    error: float


@dataclass(frozen=True, slots=True)
class Kept:
    """The graph with the fewest layers in float that is within the limit.

    Attributes:
        graph: quantized, but for ``layers``.
        layers: kept in float, the most sensitive first.
        flips: of the graph.
        within: the limit holds; False where even a graph all in float misses it.
    """

    graph: OnnxGraph
    layers: tuple[str, ...]
    flips: float
    within: bool


def rank_layers(
    graph: OnnxGraph, make: Make, windows: Float[np.ndarray, "n time feature"]
) -> tuple[Sensitivity, ...]:
    """Quantize each layer alone and see what it does to the outputs; the worst first.

    Args:
        graph: the float graph that ``make`` quantizes.
        make: quantizes all layers but those it is given.
        windows: real ones; a few dozen are looked at.
    """
    layers = layers_of(parse(graph.proto_bytes).graph)
    names = tuple(dict.fromkeys(layer.name for layer in layers))
    chosen = np.linspace(0, len(windows) - 1, min(WINDOWS, len(windows))).round().astype(int)
    few = np.ascontiguousarray(windows[chosen], dtype=np.float32)
    wanted = OnnxRuntime(graph.proto_bytes).run(few)
    sizes: dict[str, Layer] = {layer.name: layer for layer in layers}
    found = [
        Sensitivity(
            name,
            sizes[name].parameters,
            relative_error(wanted, OnnxRuntime(make(others).proto_bytes).run(few)),
        )
        for name in names
        for others in [[other for other in names if other != name]]
    ]
    return tuple(sorted(found, key=lambda one: -one.error))


def relative_error(wanted: Float[np.ndarray, "n out"], given: Float[np.ndarray, "n out"]) -> float:
    """Root mean square of the difference over that of ``wanted``; infinite where not finite."""
    if not np.isfinite(given).all():
        return float("inf")
    moved = float(np.sqrt(np.mean(np.square(given - wanted))))
    return moved / max(float(np.sqrt(np.mean(np.square(wanted)))), 1e-12)


def keep_in_float(
    graph: OnnxGraph,
    make: Make,
    windows: Float[np.ndarray, "n time feature"],
    flips: Flips,
    limit: float,
) -> Kept:
    """Give the most sensitive layers back to float, until decisions hold.

    The worst one, two, four, … layers are tried, then the gap is halved: the logarithm of
    the number of layers in tries, not that number.

    Args:
        graph: the float graph that ``make`` quantizes.
        make: quantizes all layers but those it is given.
        windows: real ones to rank layers on.
        flips: share of decisions that a graph takes otherwise, 0..1.
        limit: largest share allowed.
    """
    order = [one.layer for one in rank_layers(graph, make, windows)]
    tried: dict[int, Kept] = {}

    def attempt(count: int) -> Kept:
        if count not in tried:
            made = make(order[:count])
            share = flips(made)
            tried[count] = Kept(made, tuple(order[:count]), share, share <= limit)
        return tried[count]

    low, high = -1, 0
    while not attempt(high).within and high < len(order):
        low, high = high, min(len(order), max(1, 2 * high))
    if not tried[high].within:
        return min(tried.values(), key=lambda one: (one.flips, len(one.layers)))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if attempt(middle).within else (middle, high)
    return tried[high]
