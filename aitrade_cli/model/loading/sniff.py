"""What a file is, from its bytes. The name and its ending are never asked."""

from __future__ import annotations

from enum import Enum
from typing import Final

from aitrade_cli.errors import BadInput, Refused

SAFETENSORS_HEADER_MAX: Final = 25_000_000  # a quarter of the library's own limit


class NotAModel(BadInput):
    """The bytes are of no kind that we read."""

    default_hint = (
        "wanted: an aitrade `.pt`, a state dict, safetensors, ONNX, `.pt2` or TorchScript file"
    )


class NativeCode(Refused):
    """Machine code would run as soon as it is loaded; nothing can vouch for it."""

    default_hint = "export the model again as ONNX: `aitrade export-onnx MODEL -o model.onnx`"


class Kind(Enum):
    """The containers that we can tell apart by their first bytes."""

    ZIP = "zip"
    PICKLE = "pickle"
    SAFETENSORS = "safetensors"
    ONNX = "onnx"


STRANGERS: Final = (
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 (Keras) file"),
    (4, b"TFL3", "a TensorFlow Lite file"),
    (0, b"GGUF", "a GGUF file"),
    (4, b"PTMF", "a torch mobile file"),
    (257, b"ustar", "a tar archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd file"),
    (0, b"PAR1", "a Parquet table"),
    (0, b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
    (0, b"<", "a web page or XML"),
)
NATIVE: Final = (
    (b"\x7fELF", "an ELF library"),
    (b"MZ", "a Windows library"),
    (b"\xcf\xfa\xed\xfe", "a macOS library"),
    (b"\xfe\xed\xfa\xcf", "a macOS library"),
    (b"\xca\xfe\xba\xbe", "a macOS library"),
)
# The tags a ModelProto can begin with: fields 1-8, 14, 20, 25 and 26.
ONNX_FIRST: Final = frozenset((0x08, 0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42, 0x72, 0xA2, 0xCA))
PICKLE_TEXT_FIRST: Final = frozenset(b"(c]}lditS")  # protocols 0 and 1 have no magic


def sniff(data: bytes) -> Kind:
    """Tell the container.

    Raises:
        NotAModel: the bytes are empty or of no kind we read; it is named where known.
        NativeCode: the bytes are a native library.
    """
    if not data:
        raise NotAModel("the model is empty: 0 bytes")
    if what := native(data):
        raise NativeCode(f"this is {what}, not a model")
    if data[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return Kind.ZIP
    if data[:1] == b"\x80" and data[1:2] <= b"\x05":
        return Kind.PICKLE
    if is_safetensors(data):
        return Kind.SAFETENSORS
    for offset, magic, what in STRANGERS:
        if data[offset : offset + len(magic)] == magic:
            raise NotAModel(f"this is {what}, not a model")
    if data[0] in ONNX_FIRST:
        return Kind.ONNX
    if data[0] in PICKLE_TEXT_FIRST and data[-1:] == b".":
        return Kind.PICKLE
    raise NotAModel(f"no model begins with the bytes `{data[:8].hex(' ')}`")


def native(data: bytes) -> str:
    """Name the native library these bytes are, or nothing."""
    return next((what for magic, what in NATIVE if data.startswith(magic)), "")


def is_safetensors(data: bytes) -> bool:
    """True where a header length is followed by the start of a JSON table.

    A length that lies (past the end, past the limit) still counts: the reader names it.
    """
    return len(data) > 8 and data[8:9] == b"{" and data[9:10] in b'"} \n\r\t'
