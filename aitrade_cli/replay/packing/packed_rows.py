"""Blocks of rows that stay in memory packed: the newer as patches, the oldest cold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Int64, UInt8

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.interfaces import Codec, Indices, Selective
from aitrade_cli.replay.packing.arena import Arena
from aitrade_cli.replay.packing.codecs import codec_named
from aitrade_cli.replay.packing.cold import ColdTier
from aitrade_cli.replay.packing.patch import Patch
from aitrade_cli.replay.packing.trial import CODECS, WORTH
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text, count_text, ratio_text

BLOCK_ROWS: Final = 256
TRY_AGAIN: Final = 16  # blocks between two trials of every codec
ARENA, OTHER, COLD = range(3)  # where a block lies


class GoneRow(BadInput):
    """A row was asked for that is no longer, or not yet, here."""

    def __init__(self, index: int, first: int, total: int) -> None:
        here = f"{first} to {total - 1}" if total else "of which there are none"
        super().__init__(f"row `{index}` is not among the packed rows {here}")


@dataclass(frozen=True, slots=True)
class PackedReport:
    """What packing saves.

    Attributes:
        rows: that are here.
        record_bytes: of one, raw.
        packed_bytes: of all that is held for them: arena with its spare room, blocks of other
            codecs, cold ones.
        codecs: how many blocks each codec packed, of those that are here; ``cold`` is zstd
            with a dictionary.
    """

    rows: int
    record_bytes: int
    packed_bytes: int
    codecs: dict[str, int]

    JSON_PROPERTIES = ("raw_bytes", "ratio")

    @property
    def raw_bytes(self) -> int:
        return self.rows * self.record_bytes

    @property
    def ratio(self) -> float:
        return self.raw_bytes / self.packed_bytes if self.packed_bytes else 1.0


class PackedRows:
    """The newest ``capacity`` rows, numbered from 0 as they come, block by block.

    Each block is packed by whichever codec makes it smallest of those that unpack single
    rows; all are tried again every sixteen blocks, and a block that saves less than a tenth
    stays raw.

    Args:
        capacity: rows that can be read; a little more is held, up to one block.
        record_bytes: of one row.
        block_rows: packed together.
        warm_rows: newest rows that are kept out of the cold tier; all without it.
    """

    def __init__(
        self,
        capacity: int,
        record_bytes: int,
        *,
        block_rows: int = BLOCK_ROWS,
        warm_rows: int | None = None,
    ) -> None:
        if capacity < 1 or record_bytes < 1 or block_rows < 1:
            raise BadInput(f"cannot hold `{capacity}` rows of `{record_bytes}` bytes")
        self.capacity = capacity
        self.record_bytes = record_bytes
        self.block_rows = block_rows
        self.warm_rows = capacity if warm_rows is None else warm_rows
        self.total = 0
        slots = -(-capacity // block_rows) + 2
        self._where = np.full(slots, ARENA, dtype=np.int8)
        self._arena = Arena(slots)
        self._others: dict[int, tuple[Codec, bytes]] = {}
        self._cold = ColdTier()
        self._named: dict[int, str] = {}  # the codec of each block
        self._codecs = {name: codec_named(name) for name in CODECS["draw"]}
        self._usual = ""
        self._warm_from = 0  # the first block that is not cold

    @property
    def first(self) -> int:
        return max(0, self.total - self.capacity)

    @property
    def bytes(self) -> int:
        """Memory that all of it takes, room to grow included."""
        others = sum(len(data) for _, data in self._others.values())
        return self._where.nbytes + self._arena.bytes + others + self._cold.packed_bytes

    def push(self, block: UInt8[np.ndarray, "rows record"]) -> None:
        """Add one block of ``block_rows`` rows; the oldest go where there are too many.

        Raises:
            BadInput: it has another number of rows, or rows of another length.
        """
        if block.shape != (self.block_rows, self.record_bytes):
            raise BadInput(
                f"a block of {block.shape} bytes, wanted {(self.block_rows, self.record_bytes)}"
            )
        number = self.total // self.block_rows
        self.total += self.block_rows
        self._let_go(self.first // self.block_rows)
        name, data = self._pack(number, block)
        self._named[number] = name
        if name == Patch.name:
            self._arena.push(number, data)
        else:
            self._others[number] = (self._codecs[name], data)
        self._where[number % len(self._where)] = ARENA if name == Patch.name else OTHER
        self._cool((self.total - self.warm_rows) // self.block_rows)

    def take(
        self,
        indices: Indices,
        places: Int64[np.ndarray, " n"],
        out: UInt8[np.ndarray, "m record"],
    ) -> None:
        """Unpack rows by number, in any order, repeats allowed.

        Args:
            indices: of the rows.
            places: in which row of ``out`` each comes to lie.
            out: where to; its other rows are left as they are.

        Raises:
            GoneRow: one is not here.
        """
        wrong = (indices < self.first) | (indices >= self.total)
        if wrong.any():
            raise GoneRow(int(indices[wrong][0]), self.first, self.total)
        blocks, rows = indices // self.block_rows, indices % self.block_rows
        patched = self._where[blocks % len(self._where)] == ARENA
        if patched.all():
            self._arena.unpack(blocks, rows, places, out)
            return
        self._arena.unpack(blocks[patched], rows[patched], places[patched], out)
        for block in np.unique(blocks[~patched]).tolist():
            here = np.flatnonzero(blocks == block)
            out[places[here]] = self._some(block, rows[here])

    def report(self) -> PackedReport:
        return PackedReport(
            rows=self.total - self.first,
            record_bytes=self.record_bytes,
            packed_bytes=self.bytes,
            codecs=dict(Counter(self._named.values())),
        )

    def _some(self, block: int, rows: Int64[np.ndarray, " k"]) -> UInt8[np.ndarray, "k record"]:
        out = np.empty((len(rows), self.record_bytes), dtype=np.uint8)
        if self._where[block % len(self._where)] == COLD:
            self._cold.unpack(block, rows, out)
        else:
            codec, data = self._others[block]
            assert isinstance(codec, Selective)
            codec.decode_rows(data, rows, out)
        return out

    def _let_go(self, gone: int) -> None:
        """Forget the blocks of a smaller number."""
        self._arena.drop_before(gone)
        self._cold.drop_before(gone)
        for old in [old for old in self._named if old < gone]:
            del self._named[old]
            self._others.pop(old, None)

    def _pack(self, number: int, block: UInt8[np.ndarray, "rows record"]) -> tuple[str, bytes]:
        if self._usual and number % TRY_AGAIN:
            return self._usual, self._codecs[self._usual].encode(block)
        tried = {name: codec.encode(block) for name, codec in self._codecs.items()}
        best = min(tried, key=lambda name: len(tried[name]))
        self._usual = best if len(tried[best]) <= WORTH * block.nbytes else "raw"
        return self._usual, tried[self._usual]

    def _cool(self, before: int) -> None:
        """Move blocks of a smaller number to the cold tier."""
        for number in range(max(self._warm_from, min(self._named)), before):
            rows = np.arange(self.block_rows, dtype=np.int64)
            if number in self._others:
                out = self._some(number, rows)
                del self._others[number]
            else:
                out = np.empty((self.block_rows, self.record_bytes), dtype=np.uint8)
                self._arena.unpack(np.full(self.block_rows, number), rows, rows, out)
                self._arena.drop_before(number + 1)
            self._cold.push(number, out)
            self._named[number] = "cold"
            self._where[number % len(self._where)] = COLD
            self._warm_from = number + 1


@view.register
def _(report: PackedReport) -> Sequence[Block]:
    codecs = ", ".join(f"{name} {count}" for name, count in sorted(report.codecs.items()))
    return (
        Verdict(f"{ratio_text(report.ratio)} smaller in memory"),
        Facts(
            "Packed rows",
            (
                ("Rows", count_text(report.rows)),
                ("Raw", bytes_text(report.raw_bytes)),
                ("Packed", bytes_text(report.packed_bytes)),
                ("Blocks by codec", codecs or "none yet"),
            ),
        ),
    )
