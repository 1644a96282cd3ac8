"""What can run an artefact here: `eager`, `compile`, `onnxruntime`, `openvino`.

Starting one imports only its own libraries, so an ONNX worker never waits for torch.
"""

from aitrade_cli.model.runtimes.interface import Runtime, RuntimeMissing, WrongRuntime
from aitrade_cli.model.runtimes.start import RUNTIMES, available, start

__all__ = ["RUNTIMES", "Runtime", "RuntimeMissing", "WrongRuntime", "available", "start"]
