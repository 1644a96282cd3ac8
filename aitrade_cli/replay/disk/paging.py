"""Read records that are on disk only.

The kernel is asked for every page of a batch first, so that the disk works on all of them at
once; then each record is read straight into its place in the block and proven by its own
checksum. Reading through a mapping instead waits for one page after another.
"""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.disk.layout import Layout, Placed
from aitrade_cli.replay.disk.manifest import RAW
from aitrade_cli.replay.disk.packing import LOW_BITS, decoded
from aitrade_cli.replay.disk.reading_kernels import (
    ADVISE,
    WHOLE,
    ask_for_records,
    read_records,
)
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.gathering import Block, Slots
from aitrade_cli.replay.schema import CHECKSUM_BYTES

READERS: Final = 4
DECODED_BLOCKS: Final = 64  # of packed segments, kept unpacked


class TornRecord(BadInput):
    """A record on disk is not what was written; it is not served."""

    default_hint = "`aitrade replay verify STORE` names everything that is damaged"

    def __init__(self, row: int, said: str) -> None:
        super().__init__(f"row {row} {said}")
        self.row = row


class Line(NamedTuple):
    """A record that is to be read."""

    descriptor: int
    offset: int  # in the file; -1 in a packed block
    row: int
    place: int  # in the batch
    placed: Placed


class Pager:
    """Fetches records by slot, from memory where they are and from segments where not.

    Args:
        ring: what is in memory.
        layout: what is on disk.
        codecs: that blocks are packed with.
    """

    def __init__(self, ring: Ring, layout: Layout, codecs: list[Codec]) -> None:
        self.ring = ring
        self.layout = layout
        self.codecs = codecs
        self.files: dict[Path, int] = {}
        self.opening = Lock()
        self.unpacked: OrderedDict[tuple[Path, int], Block] = OrderedDict()
        self.waiting: list[Future[None]] = []
        self.pool: ThreadPoolExecutor | None = None

    def fetch(self, slots: Slots, out: Block) -> None:
        """Copy the records of slots into ``out``.

        Raises:
            TornRecord: one on disk is damaged.
        """
        for waiting in self.begin(slots, out):
            waiting.result()

    def begin(self, slots: Slots, out: Block) -> list[Future[None]]:
        """Copy what is in memory, and start to read the rest in the background."""
        ring = self.ring
        index = ring.index_of(slots)
        spare = slots >= ring.capacity
        near = spare | (index >= ring.total - ring.resident)
        rows = np.where(spare, slots - ring.capacity + ring.resident, index % ring.resident)
        ring.records.take(np.where(near, rows, 0), axis=0, out=out, mode="clip")
        far = np.flatnonzero(~near)
        if not len(far):
            return []
        if self.pool is None:
            self.pool = ThreadPoolExecutor(READERS, "aitrade-replay-read")
        order = far[np.argsort(index[far], kind="stable")]
        # The layout as it is now: whoever adds meanwhile does not move it under the reader.
        blocks = self.layout.block_of(index[order]), self.layout.placed
        job = self.pool.submit(self.read, index[order], order, blocks, out)
        self.waiting = [*(other for other in self.waiting if not other.done()), job]
        return [job]

    def read(
        self, index: Slots, places: Slots, blocks: tuple[Slots, list[Placed]], out: Block
    ) -> None:
        """Read some records to their places, all of them asked for before the first is read."""
        length = self.ring.schema.record_bytes
        plan = list(self.plan(index, places, blocks))
        lying = [line for line in plan if line.offset >= 0]
        descriptors = np.array([line.descriptor for line in lying], np.int32)
        offsets = np.array([line.offset for line in lying], np.int64)
        if ADVISE:
            ask_for_records(descriptors, offsets, length)
        into = np.array([line.place for line in lying], np.int64)
        short = read_records(descriptors, offsets, into, out)
        if short != WHOLE:
            raise TornRecord(lying[short].row, f"in `{lying[short].placed.path.name}` is cut off")
        raw, sealed = out.reshape(-1).data, length - CHECKSUM_BYTES
        for line in plan:
            record = raw[line.place * length : (line.place + 1) * length]
            if line.offset < 0:
                first = line.placed.found.header.first
                record[:] = self.unpack(line.placed, line.row)[line.row - first].data
            kept = int.from_bytes(record[sealed:], "little")
            if zlib.crc32(record[:sealed], line.row & LOW_BITS) != kept:
                raise TornRecord(line.row, f"in `{line.placed.path.name}` is torn")

    def plan(
        self, index: Slots, places: Slots, blocks: tuple[Slots, list[Placed]]
    ) -> Iterator[Line]:
        """Where each record lies and where it goes."""
        length = self.ring.schema.record_bytes
        positions, every = blocks
        for position, row, place in zip(
            positions.tolist(), index.tolist(), places.tolist(), strict=True
        ):
            placed = every[position]
            header = placed.found.header
            if not header.first <= row < header.end or header.is_hole:
                raise TornRecord(row, "is in no segment")
            raw = self.codecs[header.codec].name == RAW
            inside = placed.found.offset + header.payload_at + (row - header.first) * length
            yield Line(self.descriptor(placed.path), inside if raw else -1, row, place, placed)

    def unpack(self, placed: Placed, row: int) -> Block:
        """The records of a packed block; the blocks read last are kept."""
        key = placed.path, placed.found.offset
        found = self.unpacked.get(key)
        if found is None:
            header = placed.found.header
            at = placed.found.offset + header.payload_at
            payload = os.pread(self.descriptor(placed.path), header.payload_bytes, at)
            length = self.ring.schema.record_bytes
            found = decoded(memoryview(payload), header, self.codecs, length)
            if found is None:
                raise TornRecord(row, f"in `{placed.path.name}` cannot be unpacked")
            found = np.ascontiguousarray(found)
            self.unpacked[key] = found
            while len(self.unpacked) > DECODED_BLOCKS:
                self.unpacked.popitem(last=False)
        return found

    def descriptor(self, path: Path) -> int:
        with self.opening:
            if path not in self.files:
                self.files[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                if ADVISE:
                    # One record is all that is wanted of a page's neighbourhood.
                    os.posix_fadvise(self.files[path], 0, 0, os.POSIX_FADV_RANDOM)
            return self.files[path]

    def forget(self, path: Path) -> None:
        """Close a segment that was deleted, once nobody reads it any more."""
        if path in self.files:
            wait(self.waiting)
            os.close(self.files.pop(path))

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None
        for descriptor in self.files.values():
            os.close(descriptor)
        self.files.clear()
