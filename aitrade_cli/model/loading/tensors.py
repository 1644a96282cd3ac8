"""Tensors from an archive's members, with every declared size checked against real bytes."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from aitrade_cli.model.loading.limits import Limits, TooLarge
from aitrade_cli.model.loading.plain_pickle import BadPickle, Callee, Name

DTYPES: Final = tuple(
    getattr(torch, name)
    for name in [
        "float32",
        "float64",
        "float16",
        "bfloat16",
        "complex64",
        "complex128",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
        "float8_e4m3fn",
        "float8_e5m2",
        "float8_e4m3fnuz",
        "float8_e5m2fnuz",
    ]
    if hasattr(torch, name)
)
STORAGES: Final = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "IntStorage": torch.int32,
    "LongStorage": torch.int64,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
DIMENSIONS_MAX: Final = 16
SHARED_FREELY: Final = 1 << 20  # bytes


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Bytes that tensors look into; ``dtype`` is `None` where the tensor tells it."""

    content: Tensor  # uint8
    dtype: torch.dtype | None


@dataclass(slots=True)
class Tensors:
    """Builds the tensors of one file; two that shared memory share it again."""

    members: Mapping[str, bytes]
    limits: Limits
    contents: dict[str, Tensor] = field(default_factory=dict)
    made: int = 0
    held: int = 0  # bytes
    looked_into: int = 0  # bytes

    def storage(self, reference: Any) -> Storage:
        """What a persistent id stands for: ``('storage', type, key, location, count)``.

        Raises:
            BadPickle: the member is absent or its size is not what the pickle says.
        """
        if not (isinstance(reference, tuple) and len(reference) == 5):
            raise BadPickle("the pickle refers to something that is not a storage")
        word, kind, key, _, count = reference
        sound = word == "storage" and isinstance(kind, Callee) and isinstance(key, str)
        if not (sound and is_count(count)):
            raise BadPickle("the pickle describes a storage wrongly")
        content = self.content(key)
        dtype = kind.value if isinstance(kind.value, torch.dtype) else None
        if kind.call is not None or len(content) != count * (dtype or torch.uint8).itemsize:
            raise BadPickle(
                f"`data/{key[:40]}` holds {len(content)} bytes, not what its tensors say"
            )
        return Storage(content, dtype)

    def content(self, key: str) -> Tensor:
        if key not in self.contents:
            member = self.members.get(f"data/{key}")
            if member is None:
                raise BadPickle(f"the archive lacks `data/{key[:40]}`")
            self.held += len(member)
            # One storage a member, writable and our own: tensors that shared it share it again.
            self.contents[key] = (
                torch.frombuffer(bytearray(member), dtype=torch.uint8)
                if member
                else torch.empty(0, dtype=torch.uint8)
            )
        return self.contents[key]

    def rebuild_v2(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        *_: Any,
    ) -> Tensor:
        """`torch._utils._rebuild_tensor_v2` without its trust in sizes."""
        if not isinstance(storage, Storage) or storage.dtype is None:
            raise BadPickle("a tensor lacks its storage")
        return self.view(storage.content, storage.dtype, offset, size, stride)

    def rebuild_v3(
        self,
        storage: Any,
        offset: Any,
        size: Any,
        stride: Any,
        _grad: Any,
        _hooks: Any,
        dtype: Any,
        *_: Any,
    ) -> Tensor:
        """`torch._utils._rebuild_tensor_v3`: as v2, the dtype beside the storage."""
        sound = isinstance(storage, Storage) and isinstance(dtype, Callee)
        if not sound or not isinstance(dtype.value, torch.dtype):
            raise BadPickle("a tensor lacks its storage or dtype")
        return self.view(storage.content, dtype.value, offset, size, stride)

    def view(
        self,
        content: Tensor,
        dtype: torch.dtype,
        offset: Any,
        size: Any,
        stride: Any,
    ) -> Tensor:
        self.made += 1
        if self.made > self.limits.tensors:
            raise TooLarge(f"the file holds more than {self.limits.tensors} tensors")
        held = len(content) // dtype.itemsize
        check_view(held, offset, size, stride)
        self.looked_into += math.prod(size) * dtype.itemsize
        # Copies are made of tensors later; each byte may stand for a few, not for thousands.
        if self.looked_into > self.limits.sharing * self.held + SHARED_FREELY:
            raise TooLarge("the tensors of the file share their bytes too often")
        if 0 in size:
            return torch.empty(size, dtype=dtype)
        whole = content[: held * dtype.itemsize].view(dtype)
        return whole.as_strided(size, stride, offset)


def check_view(held: int, offset: Any, size: Any, stride: Any) -> None:
    """Every element lies inside the storage, and there are no more elements than it holds.

    Raises:
        BadPickle: they do not.
    """
    counts = (
        (offset, *size, *stride) if isinstance(size, tuple) and isinstance(stride, tuple) else ()
    )
    if not counts or len(size) != len(stride) or not is_shape(size):
        raise BadPickle("a tensor has no proper shape")
    if not all(is_count(count) for count in counts):
        raise BadPickle("a tensor has a stride that is no count")
    elements, last = 1, offset
    for extent, step in zip(size, stride, strict=True):
        elements *= extent
        last += (extent - 1) * step
    # A stride of 0 would make a tensor of any size out of one number.
    if elements and (last >= held or elements > held):
        raise BadPickle(f"a tensor of {elements} elements looks into a storage of {held}")


def is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 62


def is_shape(extents: Sequence[Any]) -> bool:
    """True for few counts whose product, zeros aside, does not overflow."""
    if len(extents) > DIMENSIONS_MAX or not all(is_count(extent) for extent in extents):
        return False
    return math.prod(max(extent, 1) for extent in extents) < 1 << 62


def parameter(data: Any, *_: Any) -> Tensor:
    """`torch._utils._rebuild_parameter`: training is not our business, the tensor is."""
    if not isinstance(data, Tensor):
        raise BadPickle("a parameter is not a tensor")
    return data


def ordered(pairs: Any = ()) -> dict[str, Any]:
    """`collections.OrderedDict`, which a dict is nowadays."""
    if not isinstance(pairs, list | tuple) or len(pairs) > 0:
        raise BadPickle("an OrderedDict is filled in an old way")
    return {}


def size_of(extents: Any) -> tuple[int, ...]:
    """`torch.Size`, as a plain tuple."""
    if not isinstance(extents, list | tuple) or not all(is_count(extent) for extent in extents):
        raise BadPickle("a size is not made of counts")
    return tuple(extents)


@dataclass(slots=True)
class Latin:
    """`_codecs.encode(text, 'latin1')`: how protocol 2 writes bytes.

    A short opcode can ask for the same long text again and again, so what was made is
    counted.
    """

    left: int

    def encode(self, text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding != "latin1":
            raise BadPickle("the pickle encodes text in another way than bytes are saved")
        self.left -= len(text)
        if self.left < 0:
            raise TooLarge("the bytes inside the pickle add up to more than the file holds")
        return text.encode("latin1")


def no_bytes(*arguments: Any) -> bytes:
    """`bytes()`: how protocol 2 writes no bytes at all."""
    if arguments:
        raise BadPickle("the pickle makes bytes in an unusual way")
    return b""


def names_of(tensors: Tensors, size: int) -> dict[Name, Callee]:
    """Everything a pickle of weights may name. ``size`` bounds the bytes it may make."""
    names: dict[Name, Callee] = {
        ("collections", "OrderedDict"): Callee(ordered),
        ("torch._utils", "_rebuild_tensor_v2"): Callee(tensors.rebuild_v2),
        ("torch._utils", "_rebuild_tensor_v3"): Callee(tensors.rebuild_v3),
        ("torch._utils", "_rebuild_parameter"): Callee(parameter),
        ("torch", "Size"): Callee(size_of),
        ("torch.storage", "UntypedStorage"): Callee(None),
        ("_codecs", "encode"): Callee(Latin(size).encode),
        ("__builtin__", "bytes"): Callee(no_bytes),
        ("builtins", "bytes"): Callee(no_bytes),
    }
    names |= {("torch", word): Callee(None, dtype) for word, dtype in STORAGES.items()}
    return names | {("torch", str(dtype).split(".")[1]): Callee(None, dtype) for dtype in DTYPES}
