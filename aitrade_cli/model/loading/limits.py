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
        members: entries of one archive.
        opcodes: steps of one pickle; the largest model we know takes 40,000.
        tensors: tensors of one file.
        depth: nesting of tables and lists.
        messages: protobuf messages of one ONNX file.
    """

    file_bytes: int = 8 * GIB
    ratio: int = 200
    members: int = 65_536
    opcodes: int = 2_000_000
    tensors: int = 100_000
    depth: int = 64
    messages: int = 2_000_000


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
