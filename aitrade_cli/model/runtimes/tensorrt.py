"""TensorRT through ONNX Runtime's own provider, where a GPU and both libraries are."""

from __future__ import annotations

import ctypes.util

import numpy as np
import onnxruntime
from jaxtyping import Float32

from aitrade_cli.model.runtimes.interface import CannotRun, first_line

PROVIDER = "TensorrtExecutionProvider"
QUIET = 4  # fatal only: every failure reaches us as an exception as well


def why_no_tensorrt() -> str | None:
    """What TensorRT lacks on this machine; `None` where it can work."""
    if PROVIDER not in onnxruntime.get_available_providers():
        return "this onnxruntime was built without TensorRT"
    import torch  # the one that knows whether a GPU answers

    if not torch.cuda.is_available():
        return "no NVIDIA GPU answers"
    # ONNX Runtime would fall back without a word where the library itself is missing.
    return None if ctypes.util.find_library("nvinfer") else "libnvinfer is not installed"


class TensorRtRuntime:
    """One session; the engine is built in the first call of each shape.

    Args:
        proto_bytes: a serialized, self-contained ModelProto.
        precision: ``bfloat16`` allows the tensor cores' own; ``float32`` forbids it.

    Raises:
        CannotRun: the graph is refused, or ONNX Runtime fell back to another provider.
    """

    name = "tensorrt"
    device = "cuda"

    def __init__(self, proto_bytes: bytes, precision: str = "float32") -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = QUIET
        own = {"trt_bf16_enable": precision == "bfloat16"}
        try:
            self._session = onnxruntime.InferenceSession(
                proto_bytes, options, providers=[(PROVIDER, own), "CUDAExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise CannotRun(f"TensorRT refuses the graph: {first_line(error)}") from error
        if PROVIDER not in self._session.get_providers():
            raise CannotRun("TensorRT refuses the graph: ONNX Runtime fell back to CUDA")
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows, copied to the GPU and back.

        Raises:
            CannotRun: the engine does not take this shape.
        """
        try:
            outputs = self._session.run(self._outputs, {self._input: window})
        except Exception as error:  # its exceptions share no base class of their own
            raise CannotRun(f"TensorRT stopped: {first_line(error)}") from error
        return np.asarray(outputs[0])
