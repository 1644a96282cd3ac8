"""OpenVINO, where someone installed it. Nothing needs it."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import numpy as np
from jaxtyping import Float32

from aitrade_cli.model.runtimes.interface import CannotRun, first_line


class OpenVinoRuntime:
    """A model compiled for latency on the CPU.

    Args:
        proto_bytes: a serialized, self-contained ModelProto.
        threads: of the inference pool, >= 1.

    Raises:
        CannotRun: OpenVINO refuses the graph, e.g. an operator of ONNX Runtime's own.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, proto_bytes: bytes, threads: int = 1) -> None:
        import openvino  # an extra

        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        try:
            core = openvino.Core()
            model = core.read_model(proto_bytes, b"")
            self._compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise CannotRun(f"OpenVINO refuses the graph: {first_line(error)}") from error
        self._request = self._compiled.create_infer_request()

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows.

        Raises:
            CannotRun: the graph does not take this shape.
        """
        try:
            return self._request.infer([window])[0].copy()
        except RuntimeError as error:
            raise CannotRun(f"OpenVINO stopped: {first_line(error)}") from error
