"""What every runtime offers, and how it fails. Imports no runtime."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import BadInput, Missing


@runtime_checkable
class Runtime(Protocol):
    """A model that is loaded and ready.

    Attributes:
        name: ``eager``, ``compile``, ``onnxruntime`` or ``openvino``; never ``auto``.
        device: where it computes, ``cpu`` or torch's name of a GPU.
    """

    name: str
    device: str

    def run(self, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
        """The first output for a batch of windows, as an array of its own."""
        ...


class RuntimeMissing(Missing):
    """The runtime is not installed, or lacks something it needs."""

    def __init__(self, name: str, reason: str, *, hint: str) -> None:
        super().__init__(f"`{name}` cannot run here: {reason}", hint=hint)


class WrongRuntime(BadInput):
    """This runtime runs another kind of artefact."""

    default_hint = "use `--runtime auto`, or `aitrade export-onnx MODEL` first"

    def __init__(self, name: str, kind: str) -> None:
        super().__init__(f"`{name}` does not run {kind}")


class CannotRun(BadInput):
    """The runtime refused the model or its input."""

    default_hint = "`aitrade inspect MODEL` shows the inputs it takes"


def first_line(error: BaseException, limit: int = 200) -> str:
    """The first line of a runtime's complaint that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:limit]
