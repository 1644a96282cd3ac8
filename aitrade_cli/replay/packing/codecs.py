"""Ways to pack a block of records: not at all, lz4, zstd with a dictionary, by columns, patches."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final

import lz4.block
import numpy as np
import zstandard
from jaxtyping import Int64, UInt8

from aitrade_cli.errors import Usage
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.packing.patch import Patch

Block = UInt8[np.ndarray, "n record"]
CHUNK_ROWS: Final = 16  # packed together: a row costs unpacking so many
DICTIONARY_BYTES: Final = 16_384
LEVEL: Final = 3
COLD_LEVEL: Final = 9
TABLE: Final = struct.Struct("<I")
MOST_BYTES: Final = 1 << 31  # that one chunk may claim to unpack to


class UnknownCodec(Usage):
    """No codec has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"no codec is called `{name}`", hint=f"one of {', '.join(sorted(MAKERS))}, or auto"
        )


class Raw:
    """The records as they are."""

    name = "raw"
    setup = b""

    def encode(self, block: Block) -> bytes:
        return np.ascontiguousarray(block).tobytes()

    def decode(self, data: bytes, count: int, record_bytes: int) -> Block:
        return rows_in(data, count, record_bytes)

    def decode_rows(self, data: bytes, rows: Int64[np.ndarray, " k"], out: Block) -> None:
        record = out.shape[1]
        every = rows_in(data, len(data) // record, record)
        every.take(checked(rows, len(every)), axis=0, out=out)


class Chunked:
    """Chunks of rows that are packed one by one, so that a row costs only its chunk.

    Layout: how many chunks, the end of each counted from the first one's start, the chunks;
    numbers in 32 bits, little-endian.

    Args:
        name: of the codec.
        pack: one chunk's bytes, smaller.
        unpack: them again; the second argument is how many bytes come out at most.
        chunk_rows: rows in a chunk.
        setup: what ``unpack`` needs beside the bytes.
    """

    def __init__(
        self,
        name: str,
        pack: Callable[[bytes], bytes],
        unpack: Callable[[bytes, int], bytes],
        chunk_rows: int = CHUNK_ROWS,
        setup: bytes = b"",
    ) -> None:
        self.name = name
        self.setup = setup
        self.chunk_rows = chunk_rows
        self._pack = pack
        self._unpack = unpack

    def encode(self, block: Block) -> bytes:
        chunks = [
            self._pack(np.ascontiguousarray(block[at : at + self.chunk_rows]).tobytes())
            for at in range(0, len(block), self.chunk_rows)
        ]
        ends = np.cumsum([len(chunk) for chunk in chunks]).astype("<u4")
        return TABLE.pack(len(chunks)) + ends.tobytes() + b"".join(chunks)

    def decode(self, data: bytes, count: int, record_bytes: int) -> Block:
        ends = self._ends(data)
        parts = [self._chunk(data, ends, at, record_bytes) for at in range(len(ends))]
        return rows_in(b"".join(parts), count, record_bytes)

    def decode_rows(self, data: bytes, rows: Int64[np.ndarray, " k"], out: Block) -> None:
        ends, record = self._ends(data), out.shape[1]
        of_chunk = checked(rows, len(ends) * self.chunk_rows) // self.chunk_rows
        for chunk in np.unique(of_chunk):
            here = np.flatnonzero(of_chunk == chunk)
            raw = self._chunk(data, ends, int(chunk), record)
            every = rows_in(raw, len(raw) // record, record)
            out[here] = every[checked(rows[here] - chunk * self.chunk_rows, len(every))]

    def _ends(self, data: bytes) -> list[int]:
        """Where each chunk ends in the bytes."""
        count = TABLE.unpack_from(data)[0] if len(data) >= TABLE.size else -1
        base = (count + 1) * TABLE.size
        if not TABLE.size <= base <= len(data):
            raise ValueError(f"{len(data)} bytes hold no chunks of `{self.name}`")
        ends = np.frombuffer(data, "<u4", count, TABLE.size).astype(np.int64) + base
        if (np.diff(ends, prepend=base) < 0).any() or (count and ends[-1] != len(data)):
            raise ValueError(f"the chunks of `{self.name}` do not fill the {len(data)} bytes")
        return ends.tolist()

    def _chunk(self, data: bytes, ends: list[int], at: int, record_bytes: int) -> bytes:
        start = ends[at - 1] if at else (len(ends) + 1) * TABLE.size
        return self._unpack(data[start : ends[at]], self.chunk_rows * record_bytes)


class Columns:
    """Bytes of the same place of all rows side by side, then zstd: for rows of numbers."""

    name = "columns"
    setup = b""

    def __init__(self, level: int = COLD_LEVEL) -> None:
        self._level = level

    def encode(self, block: Block) -> bytes:
        turned = np.ascontiguousarray(block.T).tobytes()
        return zstandard.ZstdCompressor(level=self._level).compress(turned)

    def decode(self, data: bytes, count: int, record_bytes: int) -> Block:
        raw = unzstd(data, count * record_bytes, None)
        if len(raw) != count * record_bytes:
            raise ValueError(f"{len(raw)} bytes are not {count} records of {record_bytes}")
        turned = np.frombuffer(raw, dtype=np.uint8).reshape(record_bytes, count)
        return np.ascontiguousarray(turned.T)


def lz4_codec() -> Chunked:
    return Chunked("lz4", lz4.block.compress, unlz4, chunk_rows=4)


def zstd_codec(setup: bytes = b"") -> Chunked:
    """Zstandard; ``setup`` is a trained dictionary, empty for none."""
    return zstd_chunks("zstd", setup, LEVEL, CHUNK_ROWS)


def cold_codec(setup: bytes = b"") -> Chunked:
    """The same for rows that are seldom drawn: larger chunks, more effort."""
    return zstd_chunks("cold", setup, COLD_LEVEL, 8 * CHUNK_ROWS)


def zstd_chunks(name: str, setup: bytes, level: int, chunk_rows: int) -> Chunked:
    trained = zstandard.ZstdCompressionDict(setup) if setup else None
    packer = zstandard.ZstdCompressor(level=level, dict_data=trained)
    unpacker = zstandard.ZstdDecompressor(dict_data=trained)
    return Chunked(
        name,
        packer.compress,
        lambda raw, most: unzstd(raw, most, unpacker),
        chunk_rows,
        setup,
    )


def unzstd(data: bytes, most: int, unpacker: zstandard.ZstdDecompressor | None) -> bytes:
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= min(most, MOST_BYTES):
            raise ValueError(f"a chunk claims {size} bytes, at most {most} belong there")
        return (unpacker or zstandard.ZstdDecompressor()).decompress(data)
    except zstandard.ZstdError as error:
        raise ValueError(f"a chunk is damaged: {error}") from error


def unlz4(data: bytes, most: int) -> bytes:
    try:
        size = TABLE.unpack_from(data)[0]
        if size > min(most, MOST_BYTES):
            raise ValueError(f"a chunk claims {size} bytes, at most {most} belong there")
        return lz4.block.decompress(data)
    except (lz4.block.LZ4BlockError, struct.error) as error:
        raise ValueError(f"a chunk is damaged: {error}") from error


def train(block: Block, size: int = DICTIONARY_BYTES) -> bytes:
    """A zstd dictionary of what these rows share; empty where there is too little of it."""
    rows = [row.tobytes() for row in np.ascontiguousarray(block)]
    try:
        return zstandard.train_dictionary(size, rows).as_bytes()
    except zstandard.ZstdError:
        return b""


def rows_in(data: bytes, count: int, record_bytes: int) -> Block:
    """Bytes as records, not copied.

    Raises:
        ValueError: they are of another number.
    """
    if len(data) != count * record_bytes:
        raise ValueError(f"{len(data)} bytes are not {count} records of {record_bytes}")
    return np.frombuffer(data, dtype=np.uint8).reshape(count, record_bytes)


def checked(rows: Int64[np.ndarray, " k"], count: int) -> Int64[np.ndarray, " k"]:
    if len(rows) and not 0 <= rows.min() <= rows.max() < count:
        raise ValueError(f"row {int(rows.max())} is not among the {count} of the block")
    return rows


MAKERS: Final[dict[str, Callable[[bytes], Codec]]] = {
    "raw": lambda _: Raw(),
    "patch": lambda _: Patch(),
    "lz4": lambda _: lz4_codec(),
    "zstd": zstd_codec,
    "columns": lambda _: Columns(),
    "cold": cold_codec,
}


def codec_named(name: str, setup: bytes = b"") -> Codec:
    """A codec by its name, with what it was set up with.

    Raises:
        UnknownCodec: there is none of that name.
    """
    if name not in MAKERS:
        raise UnknownCodec(name)
    return MAKERS[name](setup)


def names() -> Iterator[str]:
    yield from MAKERS
