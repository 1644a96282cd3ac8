"""`inspect --wrap`: bare weights, the factory of their network and some bars become an artefact."""

from __future__ import annotations

from dataclasses import replace

from aitrade_cli.model.artefact import dump
from aitrade_cli.model.provenance import record
from aitrade_cli.model.wrap import wrap
from aitrade_cli.passes.sample import gather


def wrap_model(weights: bytes, arch: str, data: str | None, symbol: str | None) -> bytes:
    """Build the artefact's bytes.

    Args:
        weights: a bare state dict or a safetensors file.
        arch: ``package.module:factory``; that module is imported.
        data: bars to put a sample of inside; None leaves the artefact without.
        symbol: which instrument of those bars.

    Raises:
        BadInput: weights, factory and bars do not fit together.
        Refused: the file is not safe to read.
    """
    artefact = wrap(weights, arch)
    evidence = gather(artefact.card, data, symbol)
    card = replace(artefact.card, sample=evidence.sample)
    settings = {"arch": arch, "data": data, "symbol": symbol}
    return dump(record(replace(artefact, card=card), artefact, "wrap", settings, {}))
