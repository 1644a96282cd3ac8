"""The two exporters of torch, both asked for free batch and time axes."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import torch
from torch import Tensor, nn

LEGACY_OPSET: Final = 17


@dataclass(frozen=True, slots=True)
class Signature:
    """How the graph's input and output are called, and whether its time axis may be free."""

    input: str
    output: str
    free_time: bool


def with_dynamo(module: nn.Module, example: Tensor, signature: Signature) -> bytes:
    """torch.export and its translation to ONNX.

    `Dim.AUTO` and not a named `Dim`: asked for a named one, the exporter silently freezes the
    time axis of a recurrent network at the example's length.
    """
    axes = {0: torch.export.Dim.AUTO}
    if signature.free_time:
        axes[1] = torch.export.Dim.AUTO
    program = torch.onnx.export(
        module,
        (example,),
        dynamo=True,
        dynamic_shapes=(axes,),
        external_data=False,
        input_names=[signature.input],
        output_names=[signature.output],
        verbose=False,
    )
    assert program is not None  # only without dynamo it returns nothing
    return program.model_proto.SerializeToString()


def with_tracing(module: nn.Module, example: Tensor, signature: Signature) -> bytes:
    """The exporter built on TorchScript's tracer: older, often smaller graphs."""
    axes = {0: "batch", 1: "time"} if signature.free_time else {0: "batch"}
    buffer = io.BytesIO()
    torch.onnx.export(
        module,
        (example,),
        buffer,  # pyright: ignore[reportArgumentType] -- without dynamo a stream will do
        dynamo=False,
        dynamic_axes={signature.input: axes, signature.output: {0: "batch"}},
        input_names=[signature.input],
        output_names=[signature.output],
        opset_version=LEGACY_OPSET,
    )
    return buffer.getvalue()


EXPORTERS: Final[Mapping[str, Callable[[nn.Module, Tensor, Signature], bytes]]] = MappingProxyType(
    {"legacy": with_tracing, "dynamo": with_dynamo}
)


@contextmanager
def quiet() -> Iterator[None]:
    """Hush the exporters, and leave torch's random numbers as they were.

    They print progress, log every decomposition, and the legacy one warns that TorchScript is
    deprecated and that traced Python values may not generalize. The first two are noise. The
    warnings are the reason why no graph is believed before it was tried at many shapes.
    """
    nothing = io.StringIO()
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stdout(nothing),
            redirect_stderr(nothing),
            torch.random.fork_rng(devices=[]),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
