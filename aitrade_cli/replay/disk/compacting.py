"""Rewrite a store so that it holds live rows only, in full blocks, packed as wished."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import replace as replaced
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.files import replace
from aitrade_cli.replay.disk import head, manifest
from aitrade_cli.replay.disk.creating import AUTO
from aitrade_cli.replay.disk.format import Mark
from aitrade_cli.replay.disk.manifest import RAW, Manifest, Packing
from aitrade_cli.replay.disk.opening import block_rows_of, manifest_in
from aitrade_cli.replay.disk.packing import codec_of, codecs_of
from aitrade_cli.replay.disk.rewriting import Rows, SegmentWriter, salvage
from aitrade_cli.replay.disk.scanning import Mapped
from aitrade_cli.replay.disk.survey import Segment, Survey, survey
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.interfaces import Codec, Selective
from aitrade_cli.replay.lock import Lock
from aitrade_cli.report.blocks import Block, Facts, Verdict, view
from aitrade_cli.units import bytes_text, ratio_text

ROWS_TO_TRY: Final = 4096
ROWS_TO_LEARN: Final = 2048  # a dictionary from
MOST_FOR_A_ROW: Final = 128 * 1024  # bytes that are unpacked for a row that is drawn alone
WORTH_OF_RAW: Final = 0.1  # what a codec has to save before rows are packed at all


class NothingToPack(BadInput):
    """A codec is chosen on rows, and the store has none."""


class NeedsRepair(Refused):
    """The store is damaged; to rewrite it would hide that."""

    default_hint = "`aitrade replay verify STORE` names it, `aitrade replay repair STORE` mends it"


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What `compact` gained."""

    store: str
    rows: int
    codec: str
    blocks_before: int
    blocks_after: int
    size_bytes_before: int
    size_bytes_after: int

    JSON_PROPERTIES = ("size_ratio",)

    @property
    def size_ratio(self) -> float:
        return self.size_bytes_after / self.size_bytes_before if self.size_bytes_before else 1.0


def compact_as(folder: Path, name: str | None) -> CompactReport:
    """The same with a codec by its name; ``auto`` tries each on rows of the store.

    Raises:
        UnknownCodec: there is none of that name.
        AitradeError: see `compact`.
    """
    if name is None:
        return compact(folder)
    if name == AUTO:
        made = manifest_in(folder)
        return compact(folder, smallest(folder, replaced(made, block_rows=block_rows_of(made))))
    codec = codec_of(Packing(name))
    return compact(folder, Packing(codec.name, codec.setup))


def smallest(folder: Path, made: Manifest) -> Packing:
    """Of all codecs the one that would make the segments smallest; the store's own before another.

    Raises:
        NothingToPack: there are no rows to try them on.
    """
    from aitrade_cli.replay.packing.codecs import train
    from aitrade_cli.replay.packing.trial import CODECS

    seen = survey(folder, made)
    blocks = some_blocks(seen, made)
    tried = sum(map(len, blocks))
    scale = sum(count_of(segment) for segment in seen.segments) / tried
    raw = sum(block.nbytes for block in blocks)
    records = np.concatenate(blocks)
    learned = train(records[:: max(1, tried // ROWS_TO_LEARN)])
    wished = [Packing(name) for name in CODECS["keep"]]
    if learned:
        wished += [Packing(name, learned) for name in ("zstd", "cold")]
    wished = [packing for packing in wished if piece_bytes(packing, made) <= MOST_FOR_A_ROW]
    best, least = made.codecs[-1], total_of(made.codecs[-1], blocks, scale, seen)
    # another codec has to save a tenth of the raw bytes, or raw itself to be smaller
    margin = WORTH_OF_RAW * raw * scale
    for packing in wished:
        size = total_of(packing, blocks, scale, seen)
        if size < least - (margin if best.name == RAW else 0):
            best, least = packing, size
    return best


def piece_bytes(packing: Packing, made: Manifest) -> int:
    """Bytes of records that the codec unpacks for a single one."""
    codec = codec_of(packing)
    alone = 1 if isinstance(codec, Selective) or packing.name == RAW else made.block_rows
    return made.schema.record_bytes * getattr(codec, "chunk_rows", alone)


def total_of(packing: Packing, blocks: Sequence[np.ndarray], scale: float, seen: Survey) -> float:
    """Bytes that the records would take, what every segment says of the codec included."""
    codec = codec_of(packing)
    try:
        packed = sum(len(codec.encode(block)) for block in blocks)
    except BadInput:
        return np.inf  # records that it cannot pack
    # the manifest, which holds a dictionary as base64, stands in each segment
    return packed * scale + len(packing.setup) * 4 / 3 * (len(seen.segments) + 1)


def count_of(segment: Segment) -> int:
    return sum(found.header.count for found in segment.found)


def some_blocks(seen: Survey, made: Manifest) -> list[np.ndarray]:
    """Records of the newest whole rows, in blocks as they will be stored.

    Raises:
        NothingToPack: there are none.
    """
    codecs, live = codecs_of(made), max(0, seen.total - made.capacity)
    blocks: list[np.ndarray] = []
    for segment in reversed(seen.segments):
        items = merged(segment, made, codecs, max(segment.first, live))
        blocks += [item.records for item in items if isinstance(item, Rows)]
        if sum(map(len, blocks)) >= ROWS_TO_TRY:
            break
    if not blocks:
        raise NothingToPack("the store holds no row to try a codec on")
    return blocks[: max(1, -(-ROWS_TO_TRY // made.block_rows))]


def compact(folder: Path, packing: Packing | None = None) -> CompactReport:
    """Rewrite segment by segment, each in one step; indices and priorities stay valid.

    Args:
        folder: of the store.
        packing: of the records from now on; the store's own without it.

    Raises:
        StoreInUse: somebody writes to it.
        NeedsRepair: it is damaged.
        AitradeError: see `verify`.
    """
    made = manifest_in(folder)
    refuse_damaged(folder)
    before = survey(folder, made)
    if is_compact(before, made, packing or made.codecs[-1]):
        return of(folder, made, before, before)
    held = Lock(folder)
    try:
        refuse_damaged(folder)
        found = manifest_in(folder)  # again: who held the lock before may have changed it
        before = survey(folder, found)
        made = replaced(found, block_rows=block_rows_of(found))
        if packing is not None:
            made = made.packing_with(packing)
        if made != found:
            # first, so that no block ever names a codec that the manifest lacks
            replace(folder / manifest.NAME, made.to_bytes())
        live = max(0, before.total - made.capacity)
        last = (0, 0)
        for segment in before.segments:
            last = rewrite(folder, made, segment, live)
        if before.mark is not None:
            mark = Mark(made.store, before.mark.sequence + 1, before.total, *last)
            head.write_both(folder, mark)
        return of(folder, made, before, survey(folder, made))
    finally:
        held.release()


def refuse_damaged(folder: Path) -> None:
    """Raises:
    NeedsRepair: the store is not whole.
    """
    report = verify(folder)
    if not report.passed or report.unacknowledged:
        raise NeedsRepair(f"`{folder}` is damaged or has a tail that was never acknowledged")


def is_compact(seen: Survey, made: Manifest, packing: Packing) -> bool:
    """Whether every block is live, full and packed as wished already."""
    live = max(0, seen.total - made.capacity)
    for segment in seen.segments:
        for number, found in enumerate(segment.found, start=1):
            header = found.header
            full = header.count == block_rows_of(made) or number == len(segment.found)
            as_wished = header.is_hole or made.codecs[header.codec] == packing
            if header.first < live or not (full or header.is_hole) or not as_wished:
                return False
    return True


def of(folder: Path, made: Manifest, before: Survey, after: Survey) -> CompactReport:
    return CompactReport(
        str(folder),
        sum(found.header.count for segment in after.segments for found in segment.found),
        made.codecs[-1].name,
        sum(len(segment.found) for segment in before.segments),
        sum(len(segment.found) for segment in after.segments),
        sum(segment.size for segment in before.segments),
        sum(segment.size for segment in after.segments),
    )


def rewrite(folder: Path, made: Manifest, segment: Segment, live: int) -> tuple[int, int]:
    """One segment anew; its first row and its bytes."""
    codecs = codecs_of(made)
    first = max(segment.first, live)
    writer = SegmentWriter(made, first, codecs[-1])
    for item in merged(segment, made, codecs, first):
        if isinstance(item, Rows):
            writer.rows(item)
        else:
            writer.hole(item.start, len(item))
    writer.put(folder)
    if first != segment.first:
        segment.path.unlink()
    return first, writer.bytes


def merged(
    segment: Segment, made: Manifest, codecs: list[Codec], first: int
) -> Iterator[Rows | range]:
    """Rows from ``first`` on in blocks as large as they may be; ranges are lost rows."""
    waiting: list[Rows] = []
    with Mapped(segment.path) as data:
        for found in segment.found:
            if found.header.end <= first:
                continue
            rows, _ = salvage(data, found, codecs, made.schema.record_bytes)
            if rows is None:
                yield from flush(waiting)
                yield range(max(found.header.first, first), found.header.end)
                continue
            rows = rows.piece(max(0, first - rows.first), len(rows))
            while len(rows):
                room = made.block_rows - sum(map(len, waiting))
                waiting.append(rows.piece(0, room))
                rows = rows.piece(room, len(rows))
                if sum(map(len, waiting)) == made.block_rows:
                    yield from flush(waiting)
    yield from flush(waiting)


def flush(waiting: list[Rows]) -> Iterator[Rows]:
    if waiting:
        columns = np.concatenate([rows.columns for rows in waiting])
        records = np.concatenate([rows.records for rows in waiting])
        yield Rows(waiting[0].first, columns, records)
        waiting.clear()


@view.register
def _(report: CompactReport) -> Sequence[Block]:
    ratio = ratio_text(report.size_ratio)
    facts = (
        ("Rows", f"{report.rows:,}"),
        ("Packed with", report.codec),
        ("Blocks", f"{report.blocks_before:,} before, {report.blocks_after:,} after"),
        (
            "Size",
            f"{bytes_text(report.size_bytes_before)} before, "
            f"{bytes_text(report.size_bytes_after)} after",
        ),
    )
    if report.blocks_before == report.blocks_after and report.size_ratio == 1.0:
        return Verdict("Nothing to gain: every block is live and full"), Facts(
            "", (("Store", report.store), *facts)
        )
    said = "Compacted" if report.size_ratio <= 1.0 else "Grew"
    return Verdict(f"{said} to {ratio} of its size"), Facts("", (("Store", report.store), *facts))
