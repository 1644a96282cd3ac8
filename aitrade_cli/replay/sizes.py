"""Counts and bytes as people write them: `5M` rows, `2G` of memory."""

from __future__ import annotations

import re
from typing import Final

from aitrade_cli.errors import Usage

STEPS: Final = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
BINARY: Final = {"ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}


def parse_count(text: str, option: str) -> int:
    """``5M`` -> 5,000,000.

    Raises:
        Usage: it is no whole number of at least 1.
    """
    return parse(text, STEPS, option, "for example `256`, `100k` or `5M`")


def counted(count: int, word: str) -> str:
    """``1 transition``, ``2,000 transitions``."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def parse_bytes(text: str, option: str) -> int:
    """``2G`` -> 2,000,000,000; ``2GiB`` -> 2,147,483,648.

    Raises:
        Usage: it is no size.
    """
    short = text.strip().lower().removesuffix("b")
    return parse(short, STEPS | BINARY, option, "for example `500M`, `2G` or `2GiB`")


def parse(text: str, steps: dict[str, int], option: str, hint: str) -> int:
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([a-z]*)", text.strip().lower().replace("_", ""))
    if found is None or found[2] not in steps:
        raise Usage(f"`{option}` takes a size, got `{text}`", hint=hint)
    value = round(float(found[1]) * steps[found[2]])
    if value < 1:
        raise Usage(f"`{option}` is at least 1, got `{text}`", hint=hint)
    return value
