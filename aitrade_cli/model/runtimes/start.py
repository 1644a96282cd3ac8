"""From an artefact to something that runs, by the runtime's name."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from aitrade_cli.errors import Usage
from aitrade_cli.model.artefact import Artefact, Exported, NativePackage, OnnxGraph, Script
from aitrade_cli.model.runtimes.interface import Runtime, RuntimeMissing, WrongRuntime
from aitrade_cli.model.runtimes.wish import kinds_of, way_of

RUNTIMES: Final = ("eager", "compile", "onnxruntime", "openvino")
ON_DEMAND: Final = ("aoti", "tensorrt", "xla")  # only where an artefact or a command names them
FOR_TORCH: Final = frozenset(("eager", "compile", "aoti"))
HINTS: Final = {
    "eager": "`pip install torch`",
    "compile": "install a C++ compiler, or use `--runtime eager`",
    "onnxruntime": "`pip install onnxruntime`",
    "openvino": "`pip install 'aitrade-cli[openvino]'`",
    "aoti": "`pip install torch`",
    "tensorrt": "`pip install onnxruntime-gpu` beside an NVIDIA driver and TensorRT",
    "xla": "`pip install torch_xla`",
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
    return {name: why_not(name) for name in (*RUNTIMES, *ON_DEMAND)}


def why_not(name: str) -> str | None:
    """The reason a runtime cannot run here; `None` where it can.

    Raises:
        NoSuchRuntime: it is none of ours.
    """
    if name not in HINTS:
        raise NoSuchRuntime(name)
    if name == "tensorrt":
        from aitrade_cli.model.runtimes.tensorrt import why_no_tensorrt  # imports onnxruntime

        return why_no_tensorrt()
    if name == "xla":
        from aitrade_cli.model.runtimes.xla import why_no_xla  # imports torch

        return why_no_xla()
    package = "torch" if name in FOR_TORCH else name
    if find_spec(package) is None:
        return f"{package} is not installed"
    if name == "compile":
        from aitrade_cli.model.runtimes.eager import why_no_compiler  # imports torch

        return why_no_compiler()
    return None


def start(artefact: Artefact, runtime: str = "auto", threads: int | None = None) -> Runtime:
    """Load an artefact into a runtime.

    Args:
        artefact: torch weights and archives run in torch, ONNX in the others.
        runtime: ``auto`` takes what the card asks for where that can run here, else eager
            for torch and ONNX Runtime for ONNX.
        threads: of the runtime's pool, >= 1; None takes the card's, else 1.

    Raises:
        NoSuchRuntime: the name is none of `RUNTIMES`.
        RuntimeMissing: it is not installed here.
        WrongRuntime: it runs another kind of artefact.
        CannotRun: it refuses the model.
        NativeCode: a native library inside that nobody vouched for, see `aoti`.
    """
    way = way_of(artefact, runtime, threads)
    if way.runtime not in HINTS:
        raise NoSuchRuntime(way.runtime)
    if way.runtime not in kinds_of(artefact):
        raise WrongRuntime(way.runtime, kind_text(artefact))
    reason = why_not(way.runtime)
    if reason is not None:
        raise RuntimeMissing(way.runtime, reason, hint=HINTS[way.runtime])
    if isinstance(artefact.network, OnnxGraph):
        return start_onnx(artefact.network, way.runtime, way.threads, way.precision)
    # Each imports torch, and an ONNX worker needs none.
    if way.runtime == "aoti":
        from aitrade_cli.model.runtimes.aoti import start_package

        return start_package(artefact, way.threads)
    if way.runtime == "xla":
        from aitrade_cli.model.runtimes.xla import XlaRuntime

        return XlaRuntime(artefact)
    from aitrade_cli.model.runtimes.eager import TorchRuntime

    return TorchRuntime(artefact, way.threads, compiled=way.runtime == "compile")


def kind_text(artefact: Artefact) -> str:
    kinds = {
        OnnxGraph: "an ONNX graph",
        NativePackage: "a package that was compiled ahead of time",
        Exported: "an exported program",
        Script: "a TorchScript archive",
    }
    return kinds.get(type(artefact.network), "torch weights")


def start_onnx(
    graph: OnnxGraph,
    runtime: str = "onnxruntime",
    threads: int = 1,
    precision: str = "float32",
) -> Runtime:
    """Load a graph; see `start`. ONNX Runtime computes in whatever the graph says."""
    if runtime == "openvino":
        from aitrade_cli.model.runtimes.openvino import OpenVinoRuntime  # an extra

        return OpenVinoRuntime(graph.proto_bytes, threads, precision)
    if runtime == "tensorrt":
        from aitrade_cli.model.runtimes.tensorrt import TensorRtRuntime  # wants a GPU

        return TensorRtRuntime(graph.proto_bytes, precision)
    from aitrade_cli.model.runtimes.onnxruntime import OnnxRuntime  # a torch worker needs none

    return OnnxRuntime(graph.proto_bytes, threads)
