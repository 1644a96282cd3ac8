"""ONNX Runtime on the CPU. Imports no torch, so a process is ready in a third of a second."""

from __future__ import annotations

import numpy as np
import onnxruntime
from jaxtyping import Float32

from aitrade_cli.model.runtimes.interface import CannotRun, first_line

QUIET = 4  # fatal only: every failure reaches us as an exception as well


class OnnxRuntime:
    """One session with its own thread pool.

    Args:
        proto_bytes: a serialized, self-contained ModelProto.
        threads: of the session's pool, >= 1.

    Raises:
        CannotRun: ONNX Runtime refuses the graph.
    """

    name = "onnxruntime"
    device = "cpu"

    def __init__(self, proto_bytes: bytes, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = QUIET
        try:
            self._session = onnxruntime.InferenceSession(
                proto_bytes, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions share no base class of their own
            raise CannotRun(f"ONNX Runtime refuses the graph: {first_line(error)}") from error
        self._input = self._session.get_inputs()[0].name
        self._outputs = [self._session.get_outputs()[0].name]

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows.

        Raises:
            CannotRun: the graph does not take this shape, or a node fails on it.
        """
        try:
            outputs = self._session.run(self._outputs, {self._input: window})
        except Exception as error:  # its exceptions share no base class of their own
            raise CannotRun(f"ONNX Runtime stopped: {first_line(error)}") from error
        return np.asarray(outputs[0])
