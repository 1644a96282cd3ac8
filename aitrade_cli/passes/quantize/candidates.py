"""Every way to quantize one graph that fits the request, built and looked at but not yet timed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.errors import AitradeError, BadInput
from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.onnx_coverage import WeightCoverage, coverage
from aitrade_cli.model.quantization import (
    quantize_dynamic,
    quantize_half,
    quantize_static,
    quantize_weight_only,
)
from aitrade_cli.model.runtimes.start import start_onnx
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.quantize.settings import Settings

Say = Callable[[str], None]
Make = Callable[[Collection[str]], OnnxGraph]  # layers to keep in float -> graph
INT4_BLOCKS: Final = (32, 128)


class NoCalibration(BadInput):
    """Static INT8 was asked for and there are no real windows to calibrate on."""

    default_hint = "give bars with `--data BARS`, or use `--dynamic`, which needs none"

    def __init__(self, why: str) -> None:
        super().__init__(f"`--static` has nothing to calibrate on: {why}")


@dataclass(frozen=True, slots=True)
class Candidate:
    """One graph that was built, or why it could not be.

    Attributes:
        name: of the technique, unique among the candidates.
        make: builds it again with other layers kept in float.
        graph: `None` where building failed.
        kept: layers that were left in float.
        covered: counted on the graph.
        flips: share of the choosing windows decided otherwise; None without a rule or bars.
        failed: why there is no graph.
    """

    name: str
    make: Make = field(repr=False)
    graph: OnnxGraph | None = field(default=None, repr=False)
    kept: tuple[str, ...] = ()
    covered: WeightCoverage | None = None
    flips: float | None = None
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Workshop:
    """What candidates are made from and looked at with."""

    graph: OnnxGraph  # float32, prepared
    windows: Float32[np.ndarray, "few time feature"]  # to count and to time with
    calibration: Float[np.ndarray, "n time feature"] | None
    no_calibration: str  # why, where there is none
    flips: Flips | None

    def build(self, name: str, make: Make, kept: tuple[str, ...] = ()) -> Candidate:
        """Make a graph, count what it covers and how often it flips."""
        try:
            graph = make(kept)
            covered = coverage(self.graph, graph, self.windows[:1])
            flips = None if self.flips is None else self.flips.share(start_onnx(graph))
        except AitradeError as error:
            return Candidate(name, make, failed=str(error))
        except Exception as error:  # the engine's own tools raise whatever a graph made them
            words = str(error).splitlines()[0][:160] if str(error) else "no message"
            return Candidate(name, make, failed=f"{type(error).__name__}: {words}")
        return Candidate(name, make, graph, kept, covered, flips)


def build_all(shop: Workshop, settings: Settings, say: Say) -> tuple[Candidate, ...]:
    """Build every candidate of the request.

    Raises:
        NoCalibration: only static INT8 was asked for, and nothing is there to calibrate on.
    """
    built: list[Candidate] = []
    for name, make in techniques(shop, settings).items():
        say(f"building {name}")
        one = shop.build(name, make)
        twin = next((other.name for other in built if one.graph and other.graph == one.graph), None)
        built.append(one if twin is None else replace(one, graph=None, failed=f"same as `{twin}`"))
    return tuple(built)


def techniques(shop: Workshop, settings: Settings) -> Mapping[str, Make]:
    graph = shop.graph
    match settings.bits:
        case "int8":
            return int8_techniques(shop, settings)
        case "int4":
            return {
                f"4-bit weights, blocks of {block}": partial(weights, graph, block)
                for block in INT4_BLOCKS
            }
        case "fp16" | "bf16":
            return {f"{settings.bits} weights": partial(half, graph, settings.bits)}


def int8_techniques(shop: Workshop, settings: Settings) -> Mapping[str, Make]:
    found: dict[str, Make] = {}
    if "dynamic" in settings.kinds:
        found["dynamic"] = partial(dynamic, shop.graph, settings.per_channel)
        if settings.per_channel:
            found["dynamic, a scale a matrix"] = partial(dynamic, shop.graph, False)
    if "static" in settings.kinds:
        if shop.calibration is None:
            if settings.kinds == {"static"}:
                raise NoCalibration(shop.no_calibration)
            return found
        for between in (True, False):
            name = "static" if between else "static, layers only"
            found[name] = partial(static, shop.graph, shop.calibration, settings, between)
    return found


def dynamic(graph: OnnxGraph, per_channel: bool, keep: Collection[str]) -> OnnxGraph:
    return quantize_dynamic(graph, keep=keep, per_channel=per_channel)


def static(
    graph: OnnxGraph,
    windows: Float[np.ndarray, "n time feature"],
    settings: Settings,
    between: bool,
    keep: Collection[str],
) -> OnnxGraph:
    return quantize_static(
        graph,
        windows,
        method=settings.calibration,
        keep=keep,
        per_channel=settings.per_channel,
        # Activations that stay in INT8 between float layers would keep their error.
        between=between and not keep,
    )


def weights(graph: OnnxGraph, block: int, keep: Collection[str]) -> OnnxGraph:
    return quantize_weight_only(graph, 4, keep=keep, block=block)


def half(graph: OnnxGraph, kind: str, keep: Collection[str]) -> OnnxGraph:
    return quantize_half(graph, "fp16" if kind == "fp16" else "bf16", keep=keep)
