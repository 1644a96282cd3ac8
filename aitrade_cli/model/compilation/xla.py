"""XLA through torch_xla, where someone installed it. It compiles anew in every process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float32

from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.compilation.interface import Backend, torch_only
from aitrade_cli.model.runtimes.start import why_not


def make(
    artefact: Artefact, windows: Float32[np.ndarray, "n time feature"], precision: str
) -> Artefact:
    """The same weights with the wish to be run by XLA."""
    del windows  # XLA compiles in the first call of each shape
    return replace(artefact, card=replace(artefact.card, runs_on=RunsOn("xla", 1, precision)))


XLA = Backend("xla", lambda artefact: torch_only(artefact) or why_not("xla"), make, ships=False)
