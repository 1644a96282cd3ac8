"""OpenVINO, where someone installed it. Nothing needs it."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.model.runtimes.interface import CannotRun, first_line

HINTS: Final = {"float32": "f32", "bfloat16": "bf16"}
SHAPES_MAX: Final = 4  # of which each has a compiled model of its own, weights included


@dataclass(slots=True)
class Request:
    """A compiled model and, where its shape is fixed, the memory of its input."""

    infer: Any
    window: np.ndarray | None


class OpenVinoRuntime:
    """A model compiled for latency on the CPU.

    The first few shapes that are asked for get a compiled model of their own: with a fixed
    batch a small model answers up to twice as fast. Whatever comes later shares one with
    free axes, so a stream of odd shapes compiles nothing more.

    Args:
        proto_bytes: a serialized, self-contained ModelProto.
        threads: of the inference pool, >= 1.
        precision: ``float32`` or ``bfloat16``. Said in any case: on a CPU with bfloat16
            units OpenVINO would take these by itself, and decisions would change unseen.

    Raises:
        CannotRun: OpenVINO refuses the graph, e.g. an operator of ONNX Runtime's own.
    """

    name = "openvino"
    device = "cpu"

    def __init__(self, proto_bytes: bytes, threads: int = 1, precision: str = "float32") -> None:
        import openvino  # an extra

        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": HINTS[precision],
        }
        self._openvino = openvino
        self._requests: dict[tuple[int, ...], Request] = {}
        self._any_shape: Request | None = None
        try:
            self._core = openvino.Core()
            self._model = self._core.read_model(proto_bytes, b"")
        except RuntimeError as error:
            raise CannotRun(f"OpenVINO refuses the graph: {first_line(error)}") from error

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows.

        Raises:
            CannotRun: the graph does not take this shape, or cannot be compiled.
        """
        try:
            request = self._requests.get(window.shape) or self._request(window.shape)
            if request.window is None:
                return request.infer.infer([window])[0].copy()
            # Into memory that the request owns: handing an array over costs more than this copy.
            request.window[...] = window
            request.infer.infer()
            return request.infer.get_output_tensor(0).data.copy()
        except RuntimeError as error:
            raise CannotRun(f"OpenVINO stopped: {first_line(error)}") from error

    def _request(self, shape: tuple[int, ...]) -> Request:
        if len(self._requests) < SHAPES_MAX and self._model.is_dynamic():
            model = self._model.clone()
            model.reshape(list(shape))
            self._requests[shape] = self._compiled(model, shape)
            return self._requests[shape]
        if self._any_shape is None:
            self._any_shape = self._compiled(self._model, None)
        return self._any_shape

    def _compiled(self, model: Any, shape: tuple[int, ...] | None) -> Request:  # noqa: ANN401
        infer = self._core.compile_model(model, "CPU", self._settings).create_infer_request()
        if shape is None:
            return Request(infer, None)
        tensor = self._openvino.Tensor(self._openvino.Type.f32, self._openvino.Shape(list(shape)))
        infer.set_input_tensor(tensor)
        return Request(infer, tensor.data)
