"""Read records that are on disk only.

The kernel is asked for every page of a batch first, so that the disk works on all of them at
once; then each record is read straight into its place in the block and proven by its own
checksum. Reading through a mapping instead waits for one page after another.
"""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple, TypeAlias

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
from aitrade_cli.replay.disk.scanning import Moved
from aitrade_cli.replay.interfaces import Codec, Selective
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.gathering import Block, Slots
from aitrade_cli.replay.schema import CHECKSUM_BYTES

READERS: Final = 4
KEPT_BYTES: Final = 16 * 1024**2  # of blocks that can only be unpacked whole
Torn: TypeAlias = dict[int, str]  # rows that are not what was written, and why


class TornRecord(BadInput):
    """Records on disk are not what was written; they are not served."""

    default_hint = "`aitrade replay verify STORE` names everything that is damaged"

    def __init__(self, torn: Torn) -> None:
        row, said = next(iter(torn.items()))
        more = f", and {len(torn) - 1} more" if len(torn) > 1 else ""
        super().__init__(f"row {row} {said}{more}")
        self.rows = np.array(list(torn), np.int64)


class Line(NamedTuple):
    """A record that is to be read."""

    row: int
    place: int  # in the batch
    placed: Placed


class Pager:
    """Fetches records by slot, from memory where they are and from segments where not.

    Args:
        ring: what is in memory.
        layout: what is on disk.
        codecs: that blocks are packed with. Nobody else may use them: they are no two
            threads' at once.
    """

    def __init__(self, ring: Ring, layout: Layout, codecs: list[Codec]) -> None:
        self.ring = ring
        self.layout = layout
        self.codecs = codecs
        self.files: dict[tuple[Path, int], int] = {}  # descriptors by path and inode
        self.opening = Lock()
        self.unpacking = Lock()
        self.unpacked: OrderedDict[tuple[int, int], Block] = OrderedDict()
        self.waiting: list[Future[None]] = []
        self.pool: ThreadPoolExecutor | None = None

    def fetch(self, slots: Slots, out: Block) -> None:
        """Copy the records of slots into ``out``.

        Raises:
            TornRecord: some on disk are damaged.
            Moved: a segment was let go of or rewritten since it was surveyed.
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
        """Read some records to their places, all of them asked for before the first is read.

        Raises:
            TornRecord: some are damaged; all of them are named.
            Moved: a segment was let go of or rewritten.
        """
        torn: Torn = {}
        lying, packed = self.plan(index, places, blocks, torn)
        self.read_lying(lying, out, torn)
        self.read_packed(packed, out, torn)
        raw, length = out.reshape(-1).data, self.ring.schema.record_bytes
        sealed = length - CHECKSUM_BYTES
        for row, place, placed in (*lying, *packed):
            record = raw[place * length : (place + 1) * length]
            kept = int.from_bytes(record[sealed:], "little")
            if zlib.crc32(record[:sealed], row & LOW_BITS) != kept:
                torn.setdefault(row, f"in `{placed.path.name}` is torn")
        if torn:
            raise TornRecord(torn)

    def plan(
        self, index: Slots, places: Slots, blocks: tuple[Slots, list[Placed]], torn: Torn
    ) -> tuple[list[Line], list[Line]]:
        """Records that lie in the files as they are, and those that are to be unpacked."""
        positions, every = blocks
        lying: list[Line] = []
        packed: list[Line] = []
        as_they_are = [codec.name == RAW for codec in self.codecs]
        for position, row, place in zip(
            positions.tolist(), index.tolist(), places.tolist(), strict=True
        ):
            placed = every[position] if position >= 0 else None
            header = placed.found.header if placed is not None else None
            if placed is None or header is None or header.is_hole or row >= header.end:
                torn[row] = "is in no segment"
            elif header.codec >= len(as_they_are):
                torn[row] = f"in `{placed.path.name}` is packed in a way the manifest lacks"
            else:
                (lying if as_they_are[header.codec] else packed).append(Line(row, place, placed))
        return lying, packed

    def read_lying(self, lines: list[Line], out: Block, torn: Torn) -> None:
        """Read records that are not packed."""
        length = self.ring.schema.record_bytes
        descriptors = np.array([self.descriptor(line.placed) for line in lines], np.int32)
        offsets = np.array([offset_of(line, length) for line in lines], np.int64)
        into = np.array([line.place for line in lines], np.int64)
        if ADVISE:
            ask_for_records(descriptors, offsets, length)
        start = 0
        while start < len(lines):
            short = read_records(descriptors[start:], offsets[start:], into[start:], out)
            if short == WHOLE:
                return
            line = lines[start + short]
            torn[line.row] = f"in `{line.placed.path.name}` is cut off"
            start += short + 1

    def read_packed(self, lines: list[Line], out: Block, torn: Torn) -> None:
        """Read records block by block, and unpack what is wanted of each."""
        blocks = [list(same) for _, same in groupby(lines, key=lambda line: id(line.placed))]
        for block in blocks if ADVISE else ():
            placed = block[0].placed
            length = placed.found.header.payload_bytes
            at = placed.found.offset + placed.found.header.payload_at
            os.posix_fadvise(self.descriptor(placed), at, length, os.POSIX_FADV_WILLNEED)
        for block in blocks:
            placed = block[0].placed
            header = placed.found.header
            rows = np.array([line.row - header.first for line in block], np.int64)
            into = np.array([line.place for line in block], np.int64)
            if not self.unpack(placed, rows, into, out):
                # none of its rows will ever come: they are all passed over at once
                said = f"in `{placed.path.name}` cannot be unpacked"
                torn.update(dict.fromkeys(range(header.first, header.end), said))

    def unpack(self, placed: Placed, rows: Slots, into: Slots, out: Block) -> bool:
        """Unpack some rows of a block to their places; False where it is damaged."""
        codec = self.codecs[placed.found.header.codec]
        with self.unpacking:
            if not isinstance(codec, Selective):
                whole = self.whole(placed)
                if whole is not None:
                    out[into] = whole[rows]
                return whole is not None
            some = np.empty((len(rows), out.shape[1]), np.uint8)
            try:
                codec.decode_rows(self.payload(placed), rows, some)
            except ValueError:
                return False
            out[into] = some
            return True

    def whole(self, placed: Placed) -> Block | None:
        """All records of a block; the blocks read last are kept. None where it is damaged."""
        key = placed.inode, placed.found.offset
        found = self.unpacked.pop(key, None)
        if found is None:
            header, length = placed.found.header, self.ring.schema.record_bytes
            found = decoded(memoryview(self.payload(placed)), header, self.codecs, length)
            if found is None:
                return None
            found = np.ascontiguousarray(found)
        self.unpacked[key] = found
        while len(self.unpacked) > 1 and kept_bytes(self.unpacked.values()) > KEPT_BYTES:
            self.unpacked.popitem(last=False)
        return found

    def payload(self, placed: Placed) -> bytes:
        header = placed.found.header
        at = placed.found.offset + header.payload_at
        return os.pread(self.descriptor(placed), header.payload_bytes, at)

    def descriptor(self, placed: Placed) -> int:
        """The open file of a block.

        Raises:
            Moved: it is not at its path any more, and was not open before.
        """
        key = placed.path, placed.inode
        descriptor = self.files.get(key)
        if descriptor is not None:
            return descriptor
        with self.opening:
            if key not in self.files:
                self.files[key] = opened(placed)
            return self.files[key]

    def forget(self, path: Path) -> None:
        """Close a segment that is about to be deleted, once nobody reads it any more."""
        wait(self.waiting)
        self.close_files([key for key in self.files if key[0] == path])

    def follow(self, placed: Collection[Placed]) -> None:
        """Close every file that the layout does not name any more."""
        named = {(block.path, block.inode) for block in placed}
        gone = [key for key in self.files if key not in named]
        if gone:
            wait(self.waiting)
            self.close_files(gone)

    def close_files(self, keys: Iterable[tuple[Path, int]]) -> None:
        for key in keys:
            os.close(self.files.pop(key))
            for block in [block for block in self.unpacked if block[0] == key[1]]:
                del self.unpacked[block]

    def close(self) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None
        self.close_files(list(self.files))


def opened(placed: Placed) -> int:
    """Raises:
    Moved: the file is not the one that was surveyed.
    """
    try:
        descriptor = os.open(placed.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise Moved(placed.path) from None
    if os.fstat(descriptor).st_ino != placed.inode:
        os.close(descriptor)
        raise Moved(placed.path)
    if ADVISE:
        # One record is all that is wanted of a page's neighbourhood.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_RANDOM)
    return descriptor


def offset_of(line: Line, length: int) -> int:
    """Where in its file a record lies that is not packed."""
    found = line.placed.found
    return found.offset + found.header.payload_at + (line.row - found.header.first) * length


def kept_bytes(blocks: Iterable[Block]) -> int:
    return sum(block.nbytes for block in blocks)
