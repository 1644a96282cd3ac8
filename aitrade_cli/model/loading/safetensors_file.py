"""safetensors: a JSON table of sizes and offsets, then bytes."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import json
import math
from typing import Any, Final

import torch
from torch import Tensor

from aitrade_cli.errors import BadInput
from aitrade_cli.model.loading.limits import Limits, TooLarge
from aitrade_cli.model.loading.sniff import SAFETENSORS_HEADER_MAX
from aitrade_cli.model.loading.tensors import is_count, is_shape

DTYPES: Final = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "U16": torch.uint16,
    "U32": torch.uint32,
    "U64": torch.uint64,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "C64": torch.complex64,
}


class BadSafetensors(BadInput):
    """The header of a safetensors file does not fit its bytes."""

    default_hint = "copy or download the file again, and compare its size and sha256"


def read_safetensors(data: bytes, limits: Limits) -> dict[str, Tensor]:
    """Every tensor by name, in the order of the header.

    Raises:
        BadSafetensors: the header lies about its length, a dtype, a shape or an offset.
        TooLarge: more tensors than ``limits.tensors``.
    """
    length = int.from_bytes(data[:8], "little")
    if length > SAFETENSORS_HEADER_MAX or length > len(data) - 8:
        raise BadSafetensors(f"the header says it is {length} bytes long, the file is {len(data)}")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
    # RecursionError: brackets nested thousands deep.
    except (ValueError, RecursionError) as error:
        raise BadSafetensors(f"the header is no JSON: {str(error)[:100]}") from error
    if not isinstance(header, dict):
        raise BadSafetensors("the header is no table")
    header.pop("__metadata__", None)
    if len(header) > limits.tensors:
        raise TooLarge(f"the file holds more than {limits.tensors} tensors")
    body = bytearray(memoryview(data)[8 + length :])
    check_cover(header, len(body))
    return {name: tensor_of(name, entry, body) for name, entry in header.items()}


def check_cover(header: dict[str, Any], size: int) -> None:
    # The format wants no hole and no overlap; both hide bytes from one reader or another.
    end = 0
    for begin, stop, name in sorted(
        (*offsets(name, entry), name) for name, entry in header.items()
    ):
        if begin != end:
            raise BadSafetensors(f"`{name[:80]}` begins at {begin}, wanted {end}")
        end = stop
    if end != size:
        raise BadSafetensors(f"the tensors take {end} bytes, the file holds {size}")


def offsets(name: str, entry: Any) -> tuple[int, int]:
    pair = entry.get("data_offsets") if isinstance(entry, dict) else None
    if not (isinstance(pair, list) and len(pair) == 2 and all(is_count(item) for item in pair)):
        raise BadSafetensors(f"`{name[:80]}` has no proper offsets")
    if pair[0] > pair[1]:
        raise BadSafetensors(f"`{name[:80]}` ends before it begins")
    return pair[0], pair[1]


def tensor_of(name: str, entry: dict[str, Any], body: bytearray) -> Tensor:
    word, shape = entry.get("dtype"), entry.get("shape")
    if not isinstance(word, str) or word not in DTYPES:
        raise BadSafetensors(
            f"`{name[:80]}` has the dtype `{str(word)[:20]}`, which we do not read"
        )
    if not isinstance(shape, list) or not is_shape(shape):
        raise BadSafetensors(f"`{name[:80]}` has no proper shape")
    begin, end = entry["data_offsets"]
    dtype = DTYPES[word]
    if math.prod(shape) * dtype.itemsize != end - begin:
        raise BadSafetensors(f"`{name[:80]}` of shape {shape[:8]} does not fit {end - begin} bytes")
    if begin == end:
        return torch.empty(shape, dtype=dtype)
    # A copy each: offsets in the file need not be aligned to the dtype.
    return torch.frombuffer(bytearray(body[begin:end]), dtype=dtype).reshape(shape)
