"""One line of an artefact's history: what was done, with which versions, to which parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from aitrade_cli import __version__
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.card import Step

TOLD: Final = ("numpy", "onnx", "onnxruntime", "openvino", "torch")


def versions() -> dict[str, str]:
    """Versions of aitrade and of the libraries that decide what a model computes."""
    found = {"aitrade": __version__}
    for name in TOLD:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # OpenVINO is an extra
            continue
    return found


def record(
    child: Artefact,
    parent: Artefact,
    command: str,
    settings: Mapping[str, Any],
    measurements: Mapping[str, Any],
) -> Artefact:
    """The child with its parent's history and one step more.

    A parent that was itself just made and never read from a file has no sha256; the
    step then names none.
    """
    step = Step(command, dict(settings), dict(measurements), versions(), parent.sha256)
    history = (*parent.card.history, step)
    return replace(child, card=replace(child.card, history=history))
