"""Write a segment anew out of rows that are whole, and put it in its place in one step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aitrade_cli.files import replace
from aitrade_cli.replay.disk.format import HOLE, LAST_OF_COMMIT, BlockHeader, SegmentHeader
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.packing import decoded, whole_rows
from aitrade_cli.replay.disk.scanning import Found, columns_bytes, payload_bytes, segment_path
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import COLUMNS


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows of a block."""

    first: int
    columns: np.ndarray
    records: np.ndarray

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def end(self) -> int:
        return self.first + len(self)

    def piece(self, start: int, end: int) -> Rows:
        return Rows(self.first + start, self.columns[start:end], self.records[start:end])


def salvage(
    data: memoryview, found: Found, codecs: list[Codec], record_bytes: int
) -> tuple[Rows | None, np.ndarray]:
    """The rows of a block, and which of them are whole; None where none can be."""
    header = found.header
    nothing = np.zeros(header.count, np.bool_)
    columns = columns_bytes(data, found)
    if header.is_hole or columns is None or len(columns) != header.count * COLUMNS.itemsize:
        return None, nothing
    payload, right = payload_bytes(data, found)
    records = decoded(payload, header, codecs, record_bytes)
    if records is None:
        return None, nothing
    rows = Rows(header.first, np.frombuffer(columns, COLUMNS).copy(), records.copy())
    return rows, np.ones_like(nothing) if right else whole_rows(records, header.first)


class SegmentWriter:
    """Collects the blocks of one segment in memory.

    Args:
        made: the manifest that stands in its header.
        first: its first row, which names the file.
        codec: that packs the records; the last one of the manifest.
    """

    def __init__(self, made: Manifest, first: int, codec: Codec) -> None:
        self.manifest = made
        self.first = first
        self.codec = codec
        self.parts = [SegmentHeader(made.store, first, made.to_bytes()).pack()]
        self.end_row = first

    @property
    def bytes(self) -> int:
        return sum(map(len, self.parts))

    def hole(self, first: int, count: int) -> None:
        """Rows that are lost for good."""
        header = BlockHeader.over(
            self.manifest.store, first, count, b"", b"", flags=HOLE | LAST_OF_COMMIT
        )
        self.parts.append(header.pack())
        self.end_row = first + count

    def copy(self, data: memoryview, found: Found) -> None:
        """A block as it is."""
        self.parts.append(bytes(data[found.offset : found.end]))
        self.end_row = found.header.end

    def rows(self, rows: Rows) -> None:
        """Some rows, packed anew."""
        columns, payload = rows.columns.tobytes(), self.codec.encode(rows.records)
        header = BlockHeader.over(
            self.manifest.store,
            rows.first,
            len(rows),
            columns,
            payload,
            flags=LAST_OF_COMMIT,
            codec=len(self.manifest.codecs) - 1,
        )
        whole = header.pack() + columns + payload
        self.parts.append(whole.ljust(header.bytes, b"\0"))
        self.end_row = rows.end

    def put(self, folder: Path) -> Path:
        """Write the segment in one step: a reader sees the old one or the new one."""
        path = segment_path(folder, self.first)
        replace(path, b"".join(self.parts))
        return path
