"""Open one variant inside its worker: safe loading, the runtime, and real inputs.

An ONNX file never brings torch in, so its worker is ready in a third of a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import BadInput
from aitrade_cli.inference.worker import Runnable
from aitrade_cli.model.card import Card

RANDOM_WINDOWS: Final = 256


class NoInputs(BadInput):
    """Nothing says what the model's inputs look like."""

    default_hint = "give the artefact a sample of bars, or measure it with `--data BARS`"


@dataclass(frozen=True, slots=True)
class OpenedVariant:
    """A runtime that is ready, and what to feed it with."""

    runtime: Runnable
    name: str
    device: str
    windows: Float32[np.ndarray, "n time feature"]
    inputs: str


def open_variant(request: Mapping[str, Any]) -> OpenedVariant:
    """Load the file of a request and start its runtime.

    Raises:
        AitradeError: the file is refused, the runtime is missing, or it cannot run this.
        NoInputs: neither windows, nor a sample, nor a shape to make some up.
    """
    from aitrade_cli.model.loading import load
    from aitrade_cli.model.runtimes import start

    path = Path(request["path"])
    artefact = load(
        path.read_bytes(),
        name=path.name,
        arch=request["arch"],
        trust_pickle=request["trust_pickle"],
        trust_native=request.get("trust_native"),
        folder=path.parent,
    )
    windows, inputs = windows_for(artefact.card, request)
    runtime = start(artefact, runtime=request["runtime"], threads=request["threads"])
    device = getattr(runtime, "device", "cpu")
    return OpenedVariant(runtime, runtime.name, device, windows, inputs)


def windows_for(
    card: Card, request: Mapping[str, Any]
) -> tuple[Float32[np.ndarray, "n time feature"], str]:
    """Windows and where they come from: ``given``, ``sample`` or ``random``."""
    if request["windows"] is not None:
        return np.load(request["windows"], allow_pickle=False), "given"
    length = request["length"] or card.window
    if card.sample is not None and length is not None:
        return card.sample.evaluation.windows(length), "sample"
    shape = card.inputs[0].shape if card.inputs else ()
    if len(shape) != 3 or not isinstance(shape[2], int):
        raise NoInputs("the model does not say what one window looks like")
    if length is None:
        raise NoInputs("the model takes any number of rows, and none was chosen")
    return random_windows(length, shape[2], request["seed"]), "random"


def random_windows(length: int, features: int, seed: int) -> Float32[np.ndarray, "n time feature"]:
    """Standard normal windows, for a model that brings no bars of its own."""
    draw = np.random.default_rng(seed).standard_normal((RANDOM_WINDOWS, length, features))
    return draw.astype(np.float32)
