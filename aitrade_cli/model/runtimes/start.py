"""From an artefact to something that runs, by the runtime's name."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.runtimes.interface import Runtime, RuntimeMissing, WrongRuntime

RUNTIMES: Final = ("eager", "compile", "onnxruntime", "openvino")
FOR_TORCH: Final = frozenset(("eager", "compile"))
HINTS: Final = {
    "eager": "`pip install torch`",
    "compile": "install a C++ compiler, or use `--runtime eager`",
    "onnxruntime": "`pip install onnxruntime`",
    "openvino": "`pip install 'aitrade-cli[openvino]'`",
}


class NoSuchRuntime(Usage):
    """The name is none of ours."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no runtime is called `{name}`", hint=f"one of auto, {', '.join(RUNTIMES)}"
        )


def available() -> dict[str, str | None]:
    """Every runtime by name: `None` where it can run here, else the reason it cannot.

    Looks for the packages and the compiler; starts nothing, so it takes milliseconds.
    """
    return {name: why_not(name) for name in RUNTIMES}


def why_not(name: str) -> str | None:
    package = "torch" if name in FOR_TORCH else name
    if find_spec(package) is None:
        return f"{package} is not installed"
    if name == "compile":
        from aitrade_cli.model.runtimes.eager import why_no_compiler  # imports torch

        return why_no_compiler()
    return None


def start(artefact: Artefact, runtime: str = "auto", threads: int = 1) -> Runtime:
    """Load an artefact into a runtime.

    Args:
        artefact: torch weights and archives run in torch, ONNX in the others.
        runtime: ``auto`` takes eager for torch and ONNX Runtime for ONNX.
        threads: of the runtime's pool, >= 1.

    Raises:
        NoSuchRuntime: the name is none of `RUNTIMES`.
        RuntimeMissing: it is not installed here.
        WrongRuntime: it runs another kind of artefact.
        CannotRun: it refuses the model.
    """
    is_onnx = isinstance(artefact.network, OnnxGraph)
    if runtime == "auto":
        runtime = "onnxruntime" if is_onnx else "eager"
    if runtime not in RUNTIMES:
        raise NoSuchRuntime(runtime)
    if (runtime in FOR_TORCH) == is_onnx:
        raise WrongRuntime(runtime, "an ONNX graph" if is_onnx else "torch weights")
    reason = why_not(runtime)
    if reason is not None:
        raise RuntimeMissing(runtime, reason, hint=HINTS[runtime])
    if isinstance(artefact.network, OnnxGraph):
        return start_onnx(artefact.network, runtime, threads)
    from aitrade_cli.model.runtimes.eager import TorchRuntime  # an ONNX worker needs no torch

    return TorchRuntime(artefact, threads, compiled=runtime == "compile")


def start_onnx(graph: OnnxGraph, runtime: str = "onnxruntime", threads: int = 1) -> Runtime:
    """Load a graph; see `start`."""
    if runtime == "openvino":
        from aitrade_cli.model.runtimes.openvino import OpenVinoRuntime  # an extra

        return OpenVinoRuntime(graph.proto_bytes, threads)
    from aitrade_cli.model.runtimes.onnxruntime import OnnxRuntime  # a torch worker needs none

    return OnnxRuntime(graph.proto_bytes, threads)
