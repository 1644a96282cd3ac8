"""Append rows to segments, acknowledge them, and let go of the oldest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.files import sync_folder
from aitrade_cli.replay.disk.format import (
    LAST_OF_COMMIT,
    BlockHeader,
    SegmentHeader,
)
from aitrade_cli.replay.disk.head import Head
from aitrade_cli.replay.disk.layout import Layout, Placed
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.packing import seal
from aitrade_cli.replay.disk.scanning import Found, segment_path
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import Ring, put_last_states

FULL: Final = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}
WRITE_BYTES: Final = 16 * 1024**2  # of raw records: what is copied to be written in one go


class StoreFull(BadInput):
    """The disk took no more. What was acknowledged is safe; the rest is still in memory."""

    default_hint = "free some room and call `commit` again, or make a store of a smaller capacity"


@contextmanager
def told_when_full(folder: Path) -> Iterator[None]:
    """Raises:
    StoreFull: what was written inside did not fit on the disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"no room for more rows in `{folder}`") from error
        raise


class Appender:
    """Writes what is new in the ring behind what was acknowledged.

    Args:
        folder: of the store.
        manifest: of the store.
        ring: the rows.
        layout: of what is on disk; kept up.
        head: to acknowledge with.
        codec: that packs new blocks.
        forget: told of each segment that was deleted.
        power_safe: sync at every commit.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        ring: Ring,
        layout: Layout,
        head: Head,
        codec: Codec,
        forget: Callable[[Path], None],
        *,
        power_safe: bool,
    ) -> None:
        self.folder = folder
        self.manifest = manifest
        self.ring = ring
        self.layout = layout
        self.head = head
        self.codec = codec
        self.forget = forget
        self.power_safe = power_safe
        self.written = ring.total
        self.descriptor = -1
        self.inode = 0
        self.segment = 0  # first row of the open segment
        self.end = 0  # its bytes that were acknowledged

    def resume(self, segment: int, end: int) -> None:
        """Go on in a segment that is whole up to ``end``."""
        path = segment_path(self.folder, segment)
        self.descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self.inode = os.fstat(self.descriptor).st_ino
        self.segment, self.end = segment, end

    def commit(self) -> int:
        """Write and acknowledge every row of the ring; rows that are safe now.

        Raises:
            StoreFull: the disk is full; the rows stay in memory.
        """
        ring = self.ring
        if ring.total > self.written:
            put_last_states(ring, np.arange(len(ring.last)))
        with told_when_full(self.folder):
            while self.written < ring.total:
                self.append_some()
        return self.written

    def append_some(self) -> None:
        """As many rows as the open segment takes, in one write, then the mark."""
        room = self.manifest.segment_rows - (self.written - self.segment)
        if self.descriptor < 0 or room < 1:
            self.begin_segment()
            room = self.manifest.segment_rows
        until = min(self.ring.total, self.written + room)
        rows = WRITE_BYTES // self.manifest.schema.record_bytes
        until = min(until, self.written + max(rows, self.manifest.block_rows))
        pieces, founds, end = [], [], self.end
        for first, count in self.block_ranges(until):
            last = first + count == until
            header, columns, payload = self.block(first, count, last=last)
            founds.append(Found(end, header))
            padding = header.bytes - header.payload_at - header.payload_bytes
            pieces += [header.pack(), columns, payload, bytes(padding)]
            end += header.bytes
        self.write(pieces, end)
        for found in founds:
            path = segment_path(self.folder, self.segment)
            self.layout.append(Placed(self.segment, path, self.inode, found))
        self.end, self.written = end, until
        self.head.advance(until, self.segment, end, sync=self.power_safe)
        self.let_go()

    def block_ranges(self, until: int) -> Iterator[tuple[int, int]]:
        """First row and length of each block up to ``until``."""
        for first in range(self.written, until, self.manifest.block_rows):
            yield first, min(self.manifest.block_rows, until - first)

    def block(self, first: int, count: int, *, last: bool) -> tuple[BlockHeader, bytes, bytes]:
        """Columns and records of some rows of the ring, with the header that proves them."""
        ring = self.ring
        index = first + np.arange(count)
        records = ring.records[index % ring.resident]
        seal(records, first)
        ring.records[index % ring.resident, -4:] = records[:, -4:]
        lines = ring.columns[index % ring.capacity]
        lines["flags"] = ring.flags[index % ring.capacity]
        columns = lines.tobytes()
        payload = self.codec.encode(records)
        return (
            BlockHeader.over(
                self.manifest.store,
                first,
                count,
                columns,
                payload,
                flags=LAST_OF_COMMIT if last else 0,
                codec=len(self.manifest.codecs) - 1,
            ),
            columns,
            payload,
        )

    def write(self, pieces: list[bytes], end: int) -> None:
        """Append in one go; what arrived in part is cut off again."""
        data = memoryview(b"".join(pieces))
        at = self.end
        try:
            while data:
                done = os.pwrite(self.descriptor, data, at)
                at, data = at + done, data[done:]
            if self.power_safe:
                os.fdatasync(self.descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self.descriptor, self.end)
            raise
        if at != end:
            raise OSError(errno.EIO, "a write was cut short")

    def begin_segment(self) -> None:
        path = segment_path(self.folder, self.written)
        header = SegmentHeader(self.manifest.store, self.written, self.manifest.to_bytes())
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            packed = header.pack()
            if os.pwrite(descriptor, packed, 0) < len(packed):
                raise OSError(errno.ENOSPC, "no room for a segment")
        except OSError:
            os.close(descriptor)
            with suppress(OSError):
                path.unlink()
            raise
        self.finish_segment()
        self.descriptor, self.segment, self.end = descriptor, self.written, header.bytes
        self.inode = os.fstat(descriptor).st_ino
        if self.power_safe:
            sync_folder(path.parent)

    def finish_segment(self) -> None:
        """Sync and leave the open segment: a loss of power can cost newer ones only."""
        if self.descriptor >= 0:
            os.fdatasync(self.descriptor)
            os.close(self.descriptor)
            self.descriptor = -1

    def let_go(self) -> None:
        """Delete segments that hold evicted rows only.

        Evicted by rows that were acknowledged: those that still wait in memory may never be.
        """
        first = self.written - self.ring.capacity
        if first >= self.layout.oldest_end:
            for path in self.layout.drop_before(first):
                self.forget(path)  # first, or who reads it now would not find it
                path.unlink(missing_ok=True)

    def close(self) -> None:
        self.finish_segment()
        self.head.sync()
        self.head.close()
        sync_folder(self.folder)
