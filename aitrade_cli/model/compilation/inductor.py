"""`torch.compile`: Inductor in the running process. It compiles anew in every process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.compilation.interface import Backend, torch_only
from aitrade_cli.model.runtimes.start import why_not


def why_no_inductor(artefact: Artefact) -> str | None:
    """What is missing; None where it can work."""
    return torch_only(artefact) or why_not("compile")


def make(
    artefact: Artefact, windows: Float32[np.ndarray, "n time feature"], precision: str
) -> Artefact:
    """The same weights with the wish to be run by `torch.compile`."""
    del windows  # Inductor compiles in the first call
    card = replace(artefact.card, runs_on=RunsOn("compile", 1, precision))
    return replace(artefact, card=card)


INDUCTOR = Backend("inductor", why_no_inductor, make, ships=False)
