"""Built-in architectures at a wanted size: one width decides everything else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import torch

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.model.architectures import UnknownArchitecture, create
from aitrade_cli.model.card import Arch, Card

STEP: Final = 4  # widths are multiples of it: registers hold 4, 8 or 16 numbers
WIDEST: Final = 4096
KERNEL: Final = 3


class StudentTooSmall(Usage):
    """No student of that architecture has as few parameters."""

    default_hint = "ask for more `--params`, or for another `--student`"


def mlp(width: int, window: int) -> dict[str, Any]:
    return {"window": window, "hidden_sizes": [width, width]}


def recurrent(width: int, _window: int) -> dict[str, Any]:
    return {"hidden_sizes": [width, width]}


def tcn(width: int, window: int) -> dict[str, Any]:
    blocks = 1
    while 1 + 2 * (KERNEL - 1) * (2**blocks - 1) < window:
        blocks += 1
    return {"channels": [width] * blocks, "kernel_size": KERNEL}


def transformer(width: int, _window: int) -> dict[str, Any]:
    heads = max(1, width // 32)
    return {
        "width": width,
        "heads": [heads] * 2,
        "head_size": min(32, width),
        "ffn_sizes": [2 * width] * 2,
        "age_waves": 8,
    }


def deeplob(width: int, _window: int) -> dict[str, Any]:
    return {"channels": [width] * 9, "branches": [2 * width] * 5, "hidden_size": 2 * width}


CONFIGS: Final[Mapping[str, Callable[[int, int], dict[str, Any]]]] = MappingProxyType(
    {
        "mlp": mlp,
        "lstm": recurrent,
        "gru": recurrent,
        "tcn": tcn,
        "transformer": transformer,
        "deeplob": deeplob,
    }
)


def student_of(name: str, width: int, card: Card) -> Arch:
    """The architecture at a width, with inputs, classes and window of the teacher's card.

    Raises:
        UnknownArchitecture: the name is not among the built-ins.
        BadInput: the teacher does not take windows of features.
    """
    if name not in CONFIGS:
        raise UnknownArchitecture(name)
    shape = card.inputs[0].shape if card.inputs else ()
    features = len(card.preprocessing.features) if card.preprocessing else shape[-1:]
    if isinstance(features, tuple):
        features = features[0] if features else None
    classes = card.outputs[0].shape[-1] if card.outputs else None
    if not isinstance(features, int) or not isinstance(classes, int) or card.window is None:
        raise BadInput("no student can be built: the card names no features, window or outputs")
    config = CONFIGS[name](width, card.window)
    return Arch(name, {"features": features, "classes": classes, **config})


def arch_for(name: str, parameters: int, card: Card) -> Arch:
    """The widest architecture of that name with at most so many parameters.

    Args:
        name: of a built-in architecture.
        parameters: not to be passed, >= 1.
        card: of the teacher: inputs, outputs and window are the same.

    Raises:
        StudentTooSmall: even the narrowest has more; it says how many.
    """
    low, high = 1, WIDEST // STEP
    least = parameters_of(student_of(name, STEP, card))
    if least > parameters:
        raise StudentTooSmall(
            f"no `{name}` has only `{parameters:,}` parameters: the narrowest has {least:,}"
        )
    while low < high:
        middle = (low + high + 1) // 2
        fits = parameters_of(student_of(name, middle * STEP, card)) <= parameters
        low, high = (middle, high) if fits else (low, middle - 1)
    return student_of(name, low * STEP, card)


def parameters_of(arch: Arch) -> int:
    """Parameters of a built-in network; nothing is allocated."""
    with torch.device("meta"):
        return sum(tensor.numel() for tensor in create(arch).parameters())
