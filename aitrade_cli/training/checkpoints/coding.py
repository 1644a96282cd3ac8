"""One tensor as chunks of byte planes, each plane compressed where that makes it smaller."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import torch
import zstandard
from torch import Tensor

from aitrade_cli.training.checkpoints.planes import join, split

CHUNK_BYTES: Final = 1 << 21  # of raw values; its planes stay in the cache of a core
PROBE_BYTES: Final = 4096
WORTH: Final = 0.97  # a plane that does not get below this share is stored as it is

DTYPES: Final[Mapping[str, torch.dtype]] = {
    name: getattr(torch, name)
    for name in (
        "float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool", "uint8",
        "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float8_e4m3fn",
        "float8_e5m2",
    )
}  # fmt: skip
NAMES: Final = {dtype: name for name, dtype in DTYPES.items()}
UNSIGNED: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class Unlike(ValueError):
    """Bytes that are not what was written."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where some values of a tensor lie.

    Attributes:
        checksum: CRC-32 of the stored bytes.
        lengths: stored bytes of each plane; as long as the plane is when it is not compressed.
    """

    checksum: int
    lengths: tuple[int, ...]

    @property
    def stored_bytes(self) -> int:
        return sum(self.lengths)


class Coder:
    """Compresses and opens chunks; holds the work space of one thread.

    Exponents have few values in no order: a search for repeats finds nothing and costs most of
    the time. zstd with a tiny table and long matches leaves little but its entropy coder, which is
    two to three times as fast as level 1 here and compresses a tenth better.
    """

    def __init__(self) -> None:
        few_matches = zstandard.ZstdCompressionParameters(
            strategy=zstandard.STRATEGY_FAST,
            window_log=18,
            hash_log=6,
            chain_log=6,
            search_log=1,
            min_match=7,
            target_length=0,
        )
        self.compressor = zstandard.ZstdCompressor(compression_params=few_matches)
        self.decompressor = zstandard.ZstdDecompressor()
        self.space = np.empty(CHUNK_BYTES, np.uint8)

    def chunks(self, tensor: Tensor) -> Iterator[tuple[Chunk, list[bytes | memoryview]]]:
        """The chunks of a contiguous tensor in main memory, each with the bytes to store.

        The bytes are good until the next chunk is asked for.
        """
        numbers = numbers_of(tensor)
        rotate = tensor.is_floating_point() or tensor.is_complex()
        for start in range(0, numbers.size, CHUNK_BYTES // numbers.itemsize):
            part = numbers[start : start + CHUNK_BYTES // numbers.itemsize]
            planes = self.planes_for(part)
            split(part, rotate=rotate, out=planes)
            pieces = [self.smaller(plane) for plane in planes]
            checksum = 0
            for piece in pieces:
                checksum = zlib.crc32(piece, checksum)
            yield Chunk(checksum, tuple(len(piece) for piece in pieces)), pieces

    def smaller(self, plane: np.ndarray) -> bytes | memoryview:
        raw = memoryview(plane.data)
        # Mantissas are noise: a look at a piece from the middle saves the time of all of them.
        middle = max(0, len(raw) - PROBE_BYTES) // 2
        probe = raw[middle : middle + PROBE_BYTES]
        if len(self.compressor.compress(probe)) >= WORTH * len(probe):
            return raw
        packed = self.compressor.compress(raw)
        return packed if len(packed) < WORTH * len(raw) else raw

    def fill(self, tensor: Tensor, chunks: Sequence[Chunk], file: BinaryIO) -> None:
        """Read the chunks of a contiguous tensor into it, from where the file stands.

        Raises:
            Unlike: a checksum differs, or lengths that cannot be.
            OSError: the file cannot be read.
        """
        numbers = numbers_of(tensor)
        rotate = tensor.is_floating_point() or tensor.is_complex()
        most = CHUNK_BYTES // numbers.itemsize
        if len(chunks) != math.ceil(numbers.size / most):
            raise Unlike("another number of chunks than the shape needs")
        for number, chunk in enumerate(chunks):
            part = numbers[number * most : (number + 1) * most]
            self.open(chunk, file.read(chunk.stored_bytes), part, rotate)

    def open(self, chunk: Chunk, stored: bytes, out: np.ndarray, rotate: bool) -> None:
        if zlib.crc32(stored) != chunk.checksum or len(chunk.lengths) != out.itemsize:
            raise Unlike("a checksum differs")
        planes = self.planes_for(out)
        at = 0
        for plane, length in zip(planes, chunk.lengths, strict=True):
            piece = memoryview(stored)[at : at + length]
            at += length
            plane[:] = np.frombuffer(self.whole(piece, plane.size), np.uint8)
        join(planes, rotate=rotate, out=out)

    def whole(self, piece: memoryview, size: int) -> bytes | memoryview:
        if len(piece) == size:
            return piece
        try:
            if zstandard.frame_content_size(piece) != size:
                raise Unlike("a plane of another length")
            return self.decompressor.decompress(piece)
        except zstandard.ZstdError as error:
            raise Unlike("a plane that zstd cannot open") from error

    def planes_for(self, numbers: np.ndarray) -> np.ndarray:
        return self.space[: numbers.nbytes].reshape(numbers.itemsize, numbers.size)


def numbers_of(tensor: Tensor) -> np.ndarray:
    """The memory of a contiguous tensor as unsigned integers; the halves of complex ones apart."""
    flat = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    width = flat.element_size()
    raw = flat.reshape(-1).view(torch.uint8).numpy()
    return raw.view(UNSIGNED[width])


def kept_as(tensor: Tensor) -> str:
    """The name of a tensor's dtype in a checkpoint.

    Raises:
        ValueError: sparse, quantized, or of a dtype that is not kept.
    """
    if tensor.layout != torch.strided or tensor.dtype not in NAMES:
        raise ValueError(f"a tensor of {tensor.dtype} in layout {tensor.layout}")
    return NAMES[tensor.dtype]


def described(tensor: Tensor, chunks: Sequence[Chunk]) -> dict[str, Any]:
    """A tensor's line in the index."""
    return {
        "dtype": kept_as(tensor),
        "shape": list(tensor.shape),
        "chunks": [[chunk.checksum, *chunk.lengths] for chunk in chunks],
    }
