"""TorchScript, frozen: kept for those who need it. Torch itself advises against it by now."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float32
from torch.jit.frontend import FrontendError

from aitrade_cli.model.artefact import Artefact, Script
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.compilation.interface import Backend, NotCompiled, torch_only
from aitrade_cli.model.export.exporters import quiet
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.interface import first_line

LEGACY: Final = "TorchScript is deprecated by torch, which advises torch.compile or torch.export"


def make(
    artefact: Artefact, windows: Float32[np.ndarray, "n time feature"], precision: str
) -> Artefact:
    """Trace, then freeze: weights become constants, and what follows from them is computed.

    Raises:
        NotCompiled: the tracer stopped.
    """
    module = build(artefact)
    example = torch.from_numpy(np.ascontiguousarray(windows[:2], dtype=np.float32))
    try:
        # `quiet` hushes the deprecation, which the report says in our words, and the tracer's
        # remarks on Python values, which parity at many shapes answers.
        with quiet(), torch.no_grad():
            frozen = torch.jit.freeze(torch.jit.trace(module, example, check_trace=False))
            buffer = io.BytesIO()
            torch.jit.save(frozen, buffer)
    except Exception as error:  # the tracer raises whatever the module made it meet
        raise NotCompiled(f"TorchScript stopped: {first_line(error)}") from error
    card = replace(artefact.card, runs_on=RunsOn("eager", 1, precision), arch=None)
    return Artefact(card, Script(buffer.getvalue()), name=artefact.name)


def hot(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of tensors with `torch.jit.script`, or leave it as it is.

    For small functions with loops over scalars, where Python itself is the cost. What the
    script compiler does not understand stays plain Python and computes the same.

    Args:
        function: with annotated arguments; everything without one is taken for a tensor.

    Returns:
        The compiled function, or ``function`` itself.

    Source:
        https://docs.pytorch.org/docs/stable/jit.html
    """
    try:
        with quiet():  # the deprecation; see `LEGACY`
            return torch.jit.script(function)
    except (RuntimeError, TypeError, OSError, FrontendError):
        # OSError: no source, as in a console. The rest: Python that TorchScript does not speak.
        return function


TORCHSCRIPT = Backend("torchscript", torch_only, make)
