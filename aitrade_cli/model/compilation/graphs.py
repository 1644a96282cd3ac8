"""ONNX Runtime, OpenVINO and TensorRT: one rewritten graph, three engines that compile it."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.compilation.interface import Backend, NotCompiled, is_graph
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.model.runtimes.start import why_not
from aitrade_cli.model.runtimes.wish import has_bfloat16

BOTH: Final = ("float32", "bfloat16")


def graph_backend(runtime: str) -> Backend:
    """A backend whose compiler is a runtime that opens ONNX."""

    def make(
        artefact: Artefact, windows: Float32[np.ndarray, "n time feature"], precision: str
    ) -> Artefact:
        made = prepared(artefact, windows)
        wish = RunsOn(runtime, 1, precision)
        return replace(made, card=replace(made.card, runs_on=wish))

    # ONNX Runtime computes in whatever the graph is written in, and ours are float32.
    ours = runtime in ("openvino", "tensorrt") and (runtime == "tensorrt" or has_bfloat16())
    return Backend(runtime, lambda _: why_not(runtime), make, BOTH if ours else BOTH[:1])


def prepared(artefact: Artefact, windows: Float32[np.ndarray, "n time feature"]) -> Artefact:
    """The artefact as ONNX: constants folded, attention fused, only what is read computed.

    Raises:
        NotCompiled: it is neither ONNX nor can it be exported.
    """
    made = artefact if is_graph(artefact) else export_onnx(artefact)[0]
    if not isinstance(made.network, OnnxGraph):
        raise NotCompiled(f"`{artefact.name}` is no ONNX graph")
    return replace(made, network=prepare(made.network, windows[:2]), sha256=None)
