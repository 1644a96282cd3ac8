"""One JSON object per line: the form scripts read."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from io import TextIOBase
from typing import Any, Final, Literal, TextIO

from aitrade_cli.errors import AitradeError

SCHEMA: Final = 1  # goes up when a field changes meaning or goes away, not when one is added
Kind = Literal["report", "check", "progress", "error"]


def to_data(value: Any) -> Any:  # noqa: ANN401 -- the seam between typed reports and JSON
    """Turn a report into plain data.

    Dataclass fields keep their names; properties listed in a class's
    ``JSON_PROPERTIES`` are added. Arrays and other objects are refused.

    Raises:
        ValueError: a number is NaN or infinite. A report says `None` and why instead.
        TypeError: a value has no JSON form.
    """
    match value:
        case None | bool() | str() | int():
            return value
        case float():
            if not math.isfinite(value):
                raise ValueError(f"a report holds {value}; use None and a reason")
            return value
        case Enum():
            return to_data(value.value)
        case Mapping():
            return {str(key): to_data(item) for key, item in value.items()}
        case list() | tuple() | frozenset() | set():
            return [to_data(item) for item in ordered(value)]
    if is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in fields(value)]
        names += getattr(value, "JSON_PROPERTIES", ())
        return {name: to_data(getattr(value, name)) for name in names}
    raise TypeError(f"{type(value).__name__} has no JSON form")


def ordered(items: Collection[Any]) -> Collection[Any]:
    # A set comes out in one order whatever the hash seed, so that two runs print the same.
    return sorted(items, key=repr) if isinstance(items, set | frozenset) else items


def write(stream: TextIO | TextIOBase, command: str, kind: Kind, data: Any) -> None:  # noqa: ANN401
    """Write one line in one call, so short lines from two stages of a pipe stay whole.

    Pure ASCII: a name that is no text and a terminal that is not UTF-8 do not break it.
    """
    line = {"aitrade": SCHEMA, "command": command, "kind": kind, "data": to_data(data)}
    stream.write(json.dumps(line, allow_nan=False) + "\n")
    stream.flush()


def write_error(stream: TextIO | TextIOBase, command: str, error: AitradeError) -> None:
    """The envelope of a failure: same keys as a report's."""
    data = {
        "name": error.name,
        "message": str(error),
        "hint": error.hint,
        "exit_code": error.exit_code,
    }
    write(stream, command, "error", data)
