"""XLA through torch_xla's Dynamo backend, where someone installed it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.eager import TorchModule


def why_no_xla() -> str | None:
    """What XLA lacks on this machine; `None` where it can work."""
    if find_spec("torch_xla") is not None:
        return None
    return "torch_xla is not installed"


class XlaRuntime(TorchModule):
    """An artefact's module on the XLA device; each shape is compiled in its first call."""

    name = "xla"

    def __init__(self, artefact: Artefact) -> None:
        import torch_xla  # pyright: ignore[reportMissingImports] -- an extra

        device = torch_xla.device()
        module: Any = torch.compile(build(artefact).to(device), backend="openxla")
        self.device = str(device)

        def call(window: Tensor) -> Tensor:
            output = module(window.to(device))
            first = output[0] if isinstance(output, tuple | list) else output
            return first.cpu()  # waits for the device, so that a clock sees the whole call

        super().__init__(call)
