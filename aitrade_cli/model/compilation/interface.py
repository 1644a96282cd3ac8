"""What every backend of `compile` offers, and how one fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import BadInput
from aitrade_cli.model.artefact import Artefact, OnnxGraph


class NotCompiled(BadInput):
    """The backend cannot build this model."""

    default_hint = "leave `--backend` out: every backend here is tried"


@dataclass(frozen=True, slots=True)
class Backend:
    """One way to compile.

    Attributes:
        name: as `--backend` takes it.
        why_not: the reason it cannot build an artefact here; None where it can.
        make: builds an artefact that is ready to run from a torch or ONNX artefact, a few
            real windows and a precision.
        precisions: what it can multiply in, ``float32`` first.
        ships: its artefact runs in a fresh process without compiling again.
    """

    name: str
    why_not: Callable[[Artefact], str | None]
    make: Callable[[Artefact, Float32[np.ndarray, "n time feature"], str], Artefact]
    precisions: tuple[str, ...] = ("float32",)
    ships: bool = True

    def build(
        self,
        artefact: Artefact,
        windows: Float32[np.ndarray, "n time feature"],
        precision: str = "float32",
    ) -> Artefact:
        """Compile.

        Args:
            artefact: what to compile; it stays as it is.
            windows: a few real ones, at least two.
            precision: one of ``precisions``.

        Raises:
            NotCompiled: the backend stopped; its first words are in the message.
        """
        return self.make(artefact, windows, precision)


def torch_only(artefact: Artefact) -> str | None:
    """The reason a torch backend cannot take an artefact."""
    return "torch does not compile ONNX graphs" if is_graph(artefact) else None


def is_graph(artefact: Artefact) -> bool:
    return isinstance(artefact.network, OnnxGraph)
