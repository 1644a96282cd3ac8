"""Bytes on disk, version 1. The reference page `replay-format` shows the same as tables.

A segment is a header and then blocks, each a header, the columns of its rows and their
records. All numbers are little-endian. A header ends in its own CRC-32, so after damage
the next block is found again by its magic and proven by that checksum.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Final

from aitrade_cli.errors import BadInput

VERSION: Final = 1
SEGMENT_MAGIC: Final = b"aiRSEGMT"
BLOCK_MAGIC: Final = b"aiRBLOCK"
HEAD_MAGIC: Final = b"aiR-HEAD"
# magic, version, store, first row, bytes of manifest, CRC of manifest, CRC of these
SEGMENT: Final = struct.Struct("<8sI8sQII")
# magic, store, first row, rows, flags, codec, bytes and CRC of columns and of payload
BLOCK: Final = struct.Struct("<8s8sQIHHIIQI")
# magic, store, sequence, rows acknowledged, first row and end of the newest segment
HEAD: Final = struct.Struct("<8s8sQQQQ")
CHECK: Final = struct.Struct("<I")
BLOCK_HEADER_BYTES: Final = BLOCK.size + CHECK.size
HEAD_PLACES: Final = (0, 4096)  # one zeroed page leaves the other mark
LAST_OF_COMMIT: Final = 1
HOLE: Final = 2  # rows that a repair could not save: no columns, no payload
PADDING: Final = 8


class NewerStore(BadInput):
    """The store was written by a later aitrade."""

    default_hint = "update aitrade; it reads every older format"

    def __init__(self, version: int) -> None:
        super().__init__(f"the store has format {version}, this aitrade reads up to {VERSION}")


def sealed(packed: bytes) -> bytes:
    return packed + CHECK.pack(zlib.crc32(packed))


def unsealed(layout: struct.Struct, data: bytes | memoryview) -> tuple | None:
    """The values of a header, or None where it is cut off or its checksum is wrong."""
    whole = bytes(data[: layout.size + CHECK.size])
    if len(whole) < layout.size + CHECK.size:
        return None
    packed, check = whole[: layout.size], whole[layout.size :]
    return layout.unpack(packed) if CHECK.pack(zlib.crc32(packed)) == check else None


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """What a segment says of itself; the manifest stands in it a second time."""

    store: bytes
    first: int
    manifest: bytes

    @property
    def bytes(self) -> int:
        plain = SEGMENT.size + CHECK.size + len(self.manifest)
        return -(-plain // PADDING) * PADDING

    def pack(self) -> bytes:
        fixed = SEGMENT.pack(
            SEGMENT_MAGIC,
            VERSION,
            self.store,
            self.first,
            len(self.manifest),
            zlib.crc32(self.manifest),
        )
        return (sealed(fixed) + self.manifest).ljust(self.bytes, b"\0")


def read_segment_header(data: bytes | memoryview) -> SegmentHeader | None:
    """The header of a segment, or None where it is damaged.

    Raises:
        NewerStore: it is whole and of a later version.
    """
    values = unsealed(SEGMENT, data)
    if values is None or values[0] != SEGMENT_MAGIC:
        return None
    _, version, store, first, length, check = values
    if version > VERSION:
        raise NewerStore(version)
    start = SEGMENT.size + CHECK.size
    manifest = bytes(data[start : start + length])
    made = SegmentHeader(store, first, manifest)
    padding = bytes(data[start + length : made.bytes])
    return made if zlib.crc32(manifest) == check and not any(padding) else None


@dataclass(frozen=True, slots=True)
class BlockHeader:
    """Some rows in a row, and how to prove that they are what was written."""

    store: bytes
    first: int
    count: int
    flags: int
    codec: int
    columns_bytes: int
    columns_crc: int
    payload_bytes: int
    payload_crc: int

    @classmethod
    def over(
        cls,
        store: bytes,
        first: int,
        count: int,
        columns: bytes,
        payload: bytes,
        *,
        flags: int = 0,
        codec: int = 0,
    ) -> BlockHeader:
        """The header that proves these columns and this payload."""
        checks = zlib.crc32(columns), zlib.crc32(payload)
        return cls(
            store, first, count, flags, codec, len(columns), checks[0], len(payload), checks[1]
        )

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.first + self.count

    @property
    def bytes(self) -> int:
        """Header, columns, payload and padding."""
        plain = BLOCK_HEADER_BYTES + self.columns_bytes + self.payload_bytes
        return -(-plain // PADDING) * PADDING

    @property
    def payload_at(self) -> int:
        return BLOCK_HEADER_BYTES + self.columns_bytes

    @property
    def is_hole(self) -> bool:
        return bool(self.flags & HOLE)

    def pack(self) -> bytes:
        return sealed(
            BLOCK.pack(
                BLOCK_MAGIC,
                self.store,
                self.first,
                self.count,
                self.flags,
                self.codec,
                self.columns_bytes,
                self.columns_crc,
                self.payload_bytes,
                self.payload_crc,
            )
        )


def read_block_header(data: bytes | memoryview) -> BlockHeader | None:
    """The header of a block, or None where it is damaged or something else lies there."""
    values = unsealed(BLOCK, data)
    return BlockHeader(*values[1:]) if values and values[0] == BLOCK_MAGIC else None


@dataclass(frozen=True, slots=True)
class Mark:
    """What was acknowledged, as the head file says it."""

    store: bytes
    sequence: int
    total: int
    segment: int  # first row of the newest segment
    end: int  # its bytes that were acknowledged

    def pack(self) -> bytes:
        return sealed(
            HEAD.pack(HEAD_MAGIC, self.store, self.sequence, self.total, self.segment, self.end)
        )


def read_mark(data: bytes | memoryview) -> Mark | None:
    """A mark of the head file, or None where it is damaged."""
    values = unsealed(HEAD, data)
    return Mark(*values[1:]) if values and values[0] == HEAD_MAGIC else None
