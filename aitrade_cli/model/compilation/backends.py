"""Every backend of `compile`, in the order in which reports list them."""

from __future__ import annotations

from typing import Final

from aitrade_cli.model.compilation.aoti import AOTI
from aitrade_cli.model.compilation.graphs import graph_backend
from aitrade_cli.model.compilation.inductor import INDUCTOR
from aitrade_cli.model.compilation.interface import Backend
from aitrade_cli.model.compilation.torchscript import TORCHSCRIPT
from aitrade_cli.model.compilation.xla import XLA

NAMES: Final = (
    "inductor",
    "aoti",
    "torchscript",
    "onnxruntime",
    "openvino",
    "tensorrt",
    "xla",
)


def backends() -> tuple[Backend, ...]:
    """All of them, here or not; ``why_not`` of each tells."""
    graphs = tuple(graph_backend(name) for name in ("onnxruntime", "openvino", "tensorrt"))
    return (INDUCTOR, AOTI, TORCHSCRIPT, *graphs, XLA)
