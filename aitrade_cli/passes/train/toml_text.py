"""Plain values as TOML, one line a key, so that a remark fits behind it.

Python's own library reads TOML and does not write it. Those that do were tried: tomli-w 1.2
puts each item of a list on its own line, and tomlkit 0.15 writes a list of tables inside a
table on the same line as what no reader takes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")  # a key that needs no quotes


def is_plain(value: object) -> bool:
    """Whether a value is made of numbers, text, true, false, lists and tables alone: no dates."""
    if isinstance(value, Mapping):
        return all(isinstance(name, str) and is_plain(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return all(is_plain(one) for one in value)
    return isinstance(value, bool | int | float | str)


def pair_text(name: str, value: Any) -> str:  # noqa: ANN401 -- any plain value
    """A key and its value; a table stands on the same line."""
    return f"{name if BARE.fullmatch(name) else quoted(name)} = {value_text(value)}"


def value_text(value: Any) -> str:  # noqa: ANN401 -- any plain value
    """A value as it stands behind its key.

    Raises:
        TypeError: it is not plain.
    """
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        pairs = ", ".join(pair_text(name, one) for name, one in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(value_text(one) for one in value)}]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, -inf and nan, which JSON calls otherwise
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"{type(value).__name__} is no plain value")


def quoted(text: str) -> str:
    """A basic string: as JSON's, but DEL is written by its number too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
