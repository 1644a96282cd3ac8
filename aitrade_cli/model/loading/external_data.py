"""ONNX external data: read into the model after its path was shown to stay in the folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx

from aitrade_cli.errors import BadInput
from aitrade_cli.model.loading.limits import Limits, TooLarge
from aitrade_cli.model.loading.members import ClimbingPath
from aitrade_cli.model.loading.protobuf import text

# ONNX Runtime reads an address in its own memory from a location that begins so.
MEMORY_TAG = "*/"


class LacksData(BadInput):
    """Weights lie in another file, and that file is not at hand."""

    default_hint = (
        "pass the path of the model, its data file beside it, instead of `-`; or save it as one "
        "file: `onnx.save(onnx.load('model.onnx'), 'whole.onnx')`"
    )


def inline(tensors: Iterable[onnx.TensorProto], folder: Path | None, limits: Limits) -> None:
    """Move external bytes into their tensors, so that the graph needs no file any more.

    Args:
        tensors: all tensors of a model; changed in place.
        folder: the only folder to read from, links resolved; `None` forbids reading.
        limits: ceilings, for all external bytes together.

    Raises:
        ClimbingPath: a location is absolute, goes up, or is a link out of the folder.
        LacksData: there is no folder, no such file, or it is too short.
        TooLarge: the bytes together pass ``limits.file_bytes``.
    """
    left = limits.file_bytes
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.EXTERNAL and not tensor.external_data:
            continue
        keys = {text(entry.key): text(entry.value) for entry in tensor.external_data}
        path = inside(keys.get("location", ""), folder)
        content = read_part(path, number(keys, "offset"), number(keys, "length"), left)
        left -= len(content)
        tensor.raw_data = content
        del tensor.external_data[:]
        tensor.data_location = onnx.TensorProto.DEFAULT


def inside(location: str, folder: Path | None) -> Path:
    """The file a location means, proven to lie in ``folder``."""
    posix, windows = PurePosixPath(location), PureWindowsPath(location)
    absolute = posix.is_absolute() or bool(windows.drive or windows.root)
    if absolute or ".." in posix.parts or ".." in windows.parts or "\0" in location:
        raise ClimbingPath(f"external data lies at `{location[:120]}`, outside the model's folder")
    if not location.strip(". /") or location.startswith(MEMORY_TAG):
        raise ClimbingPath(f"external data lies at `{location[:120]}`, which is no file")
    if folder is None:
        raise LacksData(f"weights lie in `{location[:120]}`, which stdin did not bring")
    try:
        whole = folder.resolve(strict=True)
        path = (whole / location).resolve(strict=True)
    # RuntimeError: links in a circle, before Python 3.13.
    except (OSError, RuntimeError, ValueError) as error:
        raise LacksData(f"weights lie in `{location[:120]}`, which is not there") from error
    if not path.is_relative_to(whole):
        raise ClimbingPath(f"`{location[:120]}` is a link that leads out of the model's folder")
    if not path.is_file():
        raise LacksData(f"weights lie in `{location[:120]}`, which is no file")
    return path


def number(keys: dict[str, str], key: str) -> int | None:
    digits = keys.get(key, "")
    if not digits:
        return None
    if not (digits.isascii() and digits.isdigit() and len(digits) < 20):
        raise LacksData(f"external data has the {key} `{digits[:40]}`, wanted a count")
    return int(digits)


def read_part(path: Path, offset: int | None, length: int | None, left: int) -> bytes:
    try:
        rest = path.stat().st_size - (offset or 0)
        wanted = rest if length is None else length
        if wanted < 0 or wanted > rest:
            raise LacksData(f"`{path.name}` is too short for the weights it should hold")
        if wanted > left:
            raise TooLarge(f"`{path.name}` holds more than the model may take")
        with path.open("rb") as file:
            file.seek(offset or 0)
            return file.read(wanted)
    except OSError as error:
        raise LacksData(f"`{path.name}` cannot be read: {error.strerror}") from error
