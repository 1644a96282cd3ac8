"""Transitions as NDJSON: one object a line with obs, act, reward, done, next_obs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, TextIO

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interchange.incoming_files import Chunk

MARKS: Final = frozenset(("done", "terminated", "truncated"))


class BadLine(BadInput):
    """A line of NDJSON is no transition like the ones before it."""

    default_hint = (
        'a line is `{"obs": [0.1], "act": 1, "reward": 0.5, "done": false, "next_obs": [0.2]}`'
    )


def read_lines(lines: TextIO, at_once: int) -> Iterator[Chunk]:
    """Collect lines into arrays.

    Raises:
        BadLine: one of them is something else; its number is in the message.
    """
    number, waiting = 0, list[dict[str, Any]]()
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        waiting.append(parsed(text, number, waiting[0] if waiting else None))
        if len(waiting) == at_once:
            yield together(waiting, number)
            waiting = []
    if waiting:
        yield together(waiting, number)


def parsed(text: str, number: int, like: dict[str, Any] | None) -> dict[str, Any]:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise BadLine(f"line {number} is no JSON: {error}") from error
    if not isinstance(row, dict) or "obs" not in row:
        raise BadLine(f"line {number} has no `obs`")
    if not {"done", "terminated"} & row.keys():
        raise BadLine(f"line {number} has no `done`")
    flat = dict(flattened("", row))
    flat.setdefault("truncated", False)
    if like is not None and flat.keys() != like.keys():
        odd = min(flat.keys() ^ like.keys())
        raise BadLine(f"line {number} and the ones before differ in `{odd}`")
    return flat


def flattened(prefix: str, row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flattened(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def together(rows: list[dict[str, Any]], number: int) -> Chunk:
    made: Chunk = {}
    for name in rows[0]:
        try:
            array = np.array([row[name] for row in rows])
        except ValueError as error:
            raise BadLine(f"`{name}` has another shape before line {number}") from error
        if array.dtype.kind not in "biuf":
            raise BadLine(f"`{name}` is not made of numbers before line {number}")
        # a state is made of float32, though some lines may hold whole numbers only
        state = name.split(".")[0] in {"obs", "next_obs"}
        wide = array.dtype == np.float64 and name not in MARKS
        made[name] = array.astype(np.float32) if wide or state else array
    return made
