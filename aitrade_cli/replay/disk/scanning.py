"""Walk over a segment block by block, and over what is damaged to the next whole one."""

from __future__ import annotations

import mmap
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.disk.format import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAGIC,
    BlockHeader,
    SegmentHeader,
    read_block_header,
    read_segment_header,
)

FOLDER: Final = "segments"
SUFFIX: Final = ".seg"
Bytes: TypeAlias = memoryview


class Moved(BadInput):
    """A segment is not the one any more that was looked at: it was let go of, or rewritten."""

    default_hint = "look again: `refresh()` takes up what the writer did meanwhile"

    def __init__(self, path: Path) -> None:
        super().__init__(f"`{path.name}` was let go of or rewritten meanwhile")
        self.path = path


@dataclass(frozen=True, slots=True)
class Found:
    """A block whose header is whole and which is all there."""

    offset: int
    header: BlockHeader

    @property
    def end(self) -> int:
        return self.offset + self.header.bytes


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes that are no block."""

    offset: int
    end: int
    reason: str


def segment_path(folder: Path, first: int) -> Path:
    return folder / FOLDER / f"{first:020d}{SUFFIX}"


def segment_files(folder: Path) -> list[tuple[int, Path]]:
    """The segments of a store with their first rows, oldest first."""
    found = [
        (int(path.stem), path)
        for path in (folder / FOLDER).glob(f"*{SUFFIX}")
        if path.stem.isdigit()
    ]
    return sorted(found)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file lies at a path, and how far it had come."""

    inode: int
    size: int
    changed_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        return cls(status.st_ino, status.st_size, status.st_mtime_ns)


class Mapped:
    """A file's bytes for as long as the `with` lasts; empty files too.

    Args:
        path: of the file.
        inode: that it must have; any without it.

    Raises:
        Moved: it is not there any more, or another one is.
    """

    def __init__(self, path: Path, inode: int | None = None) -> None:
        self.path = path
        self.inode = inode
        self.identity = Identity(0, 0, 0)
        self.map: mmap.mmap | None = None
        self.view = memoryview(b"")

    def __enter__(self) -> memoryview:
        try:
            file = self.path.open("rb")
        except FileNotFoundError:
            raise Moved(self.path) from None
        with file:
            self.identity = Identity.of(os.fstat(file.fileno()))
            if self.inode not in (None, self.identity.inode):
                raise Moved(self.path)
            size = self.identity.size
            if size:
                self.map = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ)
                self.view = memoryview(self.map)
        return self.view

    def __exit__(self, *raised: object) -> None:
        # Arrays may still look into it; the last of them closes the map.
        self.view, self.map = memoryview(b""), None


def header_of(data: Bytes) -> tuple[SegmentHeader | None, int]:
    """The header of a segment, and where its first block begins.

    Raises:
        NewerStore: it is of a later version.
    """
    header = read_segment_header(data)
    if header is not None:
        return header, header.bytes
    return None, next_block(data, 0)


def blocks(data: Bytes, start: int, store: bytes) -> Iterator[Found | Gap]:
    """Everything from ``start`` to the end, in order.

    Only headers are proven here. A header of another store counts as damage.
    """
    at = start
    while at < len(data):
        header = read_block_header(data[at:])
        if header is not None and header.store != store:
            reason, header = "a block of another store", None
        else:
            reason = "no block begins here"
        if header is not None and at + header.bytes <= len(data):
            yield Found(at, header)
            at += header.bytes
            continue
        if header is not None:
            reason = "the block is cut off"
        after = next_block(data, at + 1)
        yield Gap(at, after, reason)
        at = after


def next_block(data: Bytes, start: int) -> int:
    """Where the next header that proves itself begins; the end where there is none."""
    # A memoryview cannot search; the map behind it can.
    source = data.obj
    at = start
    while True:
        at = source.find(BLOCK_MAGIC, at) if isinstance(source, mmap.mmap | bytes) else -1
        if at < 0:
            return len(data)
        if read_block_header(data[at : at + BLOCK_HEADER_BYTES]) is not None:
            return at
        at += 1


def columns_bytes(data: Bytes, found: Found) -> Bytes | None:
    """The columns of a block, or None where their checksum is wrong."""
    start = found.offset + BLOCK_HEADER_BYTES
    piece = data[start : start + found.header.columns_bytes]
    return piece if zlib.crc32(piece) == found.header.columns_crc else None


def padding_is_zero(data: Bytes, found: Found) -> bool:
    """Whether the bytes behind the payload are the zeros that were written."""
    start = found.offset + found.header.payload_at + found.header.payload_bytes
    return not any(data[start : found.end])


def payload_bytes(data: Bytes, found: Found) -> tuple[Bytes, bool]:
    """The payload of a block, and whether its checksum is right."""
    start = found.offset + found.header.payload_at
    piece = data[start : start + found.header.payload_bytes]
    return piece, zlib.crc32(piece) == found.header.payload_crc
