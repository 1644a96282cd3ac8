"""Nested observations as flat names: ``{"obs": {"position": x}}`` is ``obs.position``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aitrade_cli.replay.interfaces import Value


def flatten(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Dicts and tuples become dotted names, a tuple's parts by their number.

    A list is an array's value, not a nest.
    """
    if not any(isinstance(value, (Mapping, tuple)) for value in fields.values()):
        return dict(fields)
    return {name: value for key, inner in fields.items() for name, value in leaves(key, inner)}


def leaves(name: str, value: Value) -> Iterator[tuple[str, Value]]:
    if isinstance(value, Mapping):
        parts = value.items()
    elif isinstance(value, tuple):
        parts = enumerate(value)
    else:
        yield name, value
        return
    for key, inner in parts:
        yield from leaves(f"{name}.{key}", inner)


def nest(flat: Mapping[str, Any], name: str) -> Value:
    """The dict or tuple again that was flattened under ``name``; a plain value stays one."""
    if name in flat:
        return flat[name]
    made: dict[str, Any] = {}
    for key in flat:
        if key.startswith(f"{name}."):
            part = key[len(name) + 1 :].split(".")[0]
            made.setdefault(part, nest(flat, f"{name}.{part}"))
    if made and all(part.isdigit() for part in made):
        return tuple(made[str(number)] for number in range(len(made)))
    return made
