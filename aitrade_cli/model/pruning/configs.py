"""The config of a built-in network, read off the shapes of its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from torch import Tensor

from aitrade_cli.model.card import Arch

Shapes = Mapping[str, tuple[int, ...]]

BEFORE_INCEPTION: Final = ("merge", "first", "second")
BRANCHES: Final = ("enter_three", "three", "enter_five", "five", "leave_highest")


def resized(arch: Arch, state: Mapping[str, Tensor]) -> Arch:
    """The same architecture with the widths that the tensors have."""
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    widths = {
        "mlp": hidden_rows,
        "lstm": recurrent_columns,
        "gru": recurrent_columns,
        "tcn": tcn,
        "transformer": transformer,
        "deeplob": deeplob,
    }[arch.name]
    return Arch(arch.name, {**arch.config, **widths(shapes, arch.config)})


def hidden_rows(shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden_sizes": series(shapes, "hidden.{}.weight", 0)}


def recurrent_columns(shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"hidden_sizes": series(shapes, "layers.{}.weight_hh_l0", 1)}


def tcn(shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "channels": series(shapes, "blocks.{}.second.conv.weight", 0),
        "inner_channels": series(shapes, "blocks.{}.first.conv.weight", 0),
    }


def transformer(shapes: Shapes, config: Mapping[str, Any]) -> dict[str, Any]:
    size = config.get("head_size", 64)
    columns = series(shapes, "layers.{}.attention.output.weight", 1)
    return {
        "width": shapes["embed.weight"][0],
        "heads": [count // size for count in columns],
        "ffn_sizes": series(shapes, "layers.{}.expand.weight", 0),
    }


def deeplob(shapes: Shapes, _: Mapping[str, Any]) -> dict[str, Any]:
    names = [f"blocks.{block}.{conv}.weight" for block in range(3) for conv in BEFORE_INCEPTION]
    return {
        "channels": [shapes[name][0] for name in names],
        "branches": [shapes[f"inception.{name}.weight"][0] for name in BRANCHES],
        "hidden_size": shapes["lstm.weight_hh_l0"][1],
    }


def series(shapes: Shapes, pattern: str, axis: int) -> list[int]:
    """One length per layer, first to last."""
    found, depth = [], 0
    while (name := pattern.format(depth)) in shapes:
        found.append(shapes[name][axis])
        depth += 1
    return found
