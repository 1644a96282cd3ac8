"""A nested state as JSON beside its tensors: plain data only, and back exactly as it was."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

from aitrade_cli.errors import BadInput

TAG: Final = "$"  # no plain mapping may use it as its only key
DEEPEST: Final = 64


class NotPlain(BadInput):
    """A state holds something beyond tensors and plain data."""


def outline(tree: object, keep: Callable[[Tensor], int], at: str = "state") -> object:
    """What JSON can say of a tree; each tensor is handed to ``keep`` and becomes its number.

    Tuples, mappings with other keys than words, and floats that are not finite come back as they
    went in; NumPy's numbers come back as plain ones.

    Raises:
        NotPlain: an object of another kind; its place in the tree is named.
    """
    tree = tree.item() if isinstance(tree, np.generic) else tree
    if isinstance(tree, Tensor):
        return {TAG: ["tensor", keep(tree)]}
    if isinstance(tree, Mapping):
        return outline_of_mapping(tree, keep, at)
    if isinstance(tree, list | tuple):
        parts = [outline(part, keep, f"{at}[{number}]") for number, part in enumerate(tree)]
        return parts if isinstance(tree, list) else {TAG: ["tuple", parts]}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {TAG: ["float", repr(tree)]}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise NotPlain(f"`{at}` is a {type(tree).__name__}, which a checkpoint does not hold")


def outline_of_mapping(
    tree: Mapping[Any, object], keep: Callable[[Tensor], int], at: str
) -> dict[str, object]:
    parts = {key: outline(part, keep, f"{at}.{key}") for key, part in tree.items()}
    if all(isinstance(key, str) for key in parts) and parts.keys() != {TAG}:
        return parts
    pairs = [[outline(key, keep, at), part] for key, part in parts.items()]
    return {TAG: ["mapping", pairs]}


def grown(said: object, tensors: Sequence[Tensor], depth: int = 0) -> Any:  # noqa: ANN401 -- any
    """The tree of an outline.

    Raises:
        ValueError: no outline of ours.
    """
    if depth > DEEPEST:
        raise ValueError("nested too deep")
    if isinstance(said, list):
        return [grown(part, tensors, depth + 1) for part in said]
    if not isinstance(said, dict):
        return said
    if said.keys() == {TAG}:
        return grown_mark(said[TAG], tensors, depth + 1)
    return {key: grown(part, tensors, depth + 1) for key, part in said.items()}


def grown_mark(mark: object, tensors: Sequence[Tensor], depth: int) -> object:
    match mark:
        case ["tensor", int(number)] if 0 <= number < len(tensors):
            return tensors[number]
        case ["float", "nan" | "inf" | "-inf" as word]:
            return float(word)
        case ["tuple", list(parts)]:
            return tuple(grown(part, tensors, depth) for part in parts)
        case ["mapping", list(pairs)]:
            return {grown(key, tensors, depth): grown(part, tensors, depth) for key, part in pairs}
    raise ValueError("an outline with an unknown mark")
