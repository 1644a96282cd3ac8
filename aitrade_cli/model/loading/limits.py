"""How much an untrusted file may ask for before a byte of it is believed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import BadInput, Usage

GIB: Final = 1 << 30
VARIABLE: Final = "AITRADE_MAX_MODEL_BYTES"


class TooLarge(BadInput):
    """The file, or what it would unpack to, is larger than we agreed to take."""

    default_hint = f"if the file is what you expect, set `{VARIABLE}` to a larger number"


@dataclass(frozen=True, slots=True)
class Limits:
    """Ceilings that no model anyone trades with comes near.

    Attributes:
        file_bytes: of the file, and of everything it unpacks to together.
        ratio: unpacked over packed size of one member; deflate itself ends at 1032.
        growth: unpacked over packed size of the whole archive, beyond ``slack_bytes``.
        slack_bytes: what a small archive may unpack to in any case.
        members: entries of one archive.
        directory_bytes: the table of contents of one archive.
        text_bytes: one JSON text; in memory it can take twenty times as much.
        opcodes: steps of one pickle; the largest model we know takes 40,000.
        tensors: tensors of one file.
        sharing: bytes that tensors look into, over bytes that there are. Tied weights take 2.
        depth: nesting of tables and lists.
        fields: protobuf fields of one ONNX file, weights aside.
        messages: those of them that are messages.
    """

    file_bytes: int = 8 * GIB
    ratio: int = 200
    growth: int = 20
    slack_bytes: int = 64 << 20
    members: int = 65_536
    directory_bytes: int = 32 << 20
    text_bytes: int = 64 << 20
    opcodes: int = 2_000_000
    tensors: int = 100_000
    sharing: int = 8
    depth: int = 64
    fields: int = 10_000_000
    messages: int = 2_000_000


def check_text(name: str, text: bytes | str, limits: Limits) -> None:
    """Raise before a JSON text is parsed that would take too much memory.

    Raises:
        TooLarge: it is longer than ``limits.text_bytes``.
    """
    if len(text) > limits.text_bytes:
        raise TooLarge(f"{name} is {len(text)} bytes of text, more than {limits.text_bytes}")


def limits_from_environment() -> Limits:
    """The ceilings, with `AITRADE_MAX_MODEL_BYTES` instead of 8 GiB where it is set.

    Raises:
        Usage: the variable is not a positive whole number.
    """
    text = os.environ.get(VARIABLE, "")
    if not text:
        return Limits()
    if not (text.isascii() and text.isdigit() and int(text[:20]) > 0):
        raise Usage(f"`{VARIABLE}` is `{text[:40]}`, wanted a number of bytes")
    return Limits(file_bytes=int(text[:20]))
