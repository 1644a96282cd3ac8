"""Save everything whole of a damaged store, and give up the rest by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aitrade_cli.files import replace
from aitrade_cli.replay.disk import head, keeping, manifest
from aitrade_cli.replay.disk.damage import Damage, VerifyReport, table_of
from aitrade_cli.replay.disk.format import Mark
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.opening import manifest_in
from aitrade_cli.replay.disk.packing import codecs_of
from aitrade_cli.replay.disk.rewriting import SegmentWriter, salvage
from aitrade_cli.replay.disk.scanning import Found, Mapped, padding_is_zero, payload_bytes
from aitrade_cli.replay.disk.survey import Segment, Survey, survey
from aitrade_cli.replay.disk.tail import cut_tail
from aitrade_cli.replay.disk.verifying import first_expected, runs, verify
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.lock import Lock
from aitrade_cli.report.blocks import Block, Facts, Verdict, view


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What `repair` saved and what it gave up."""

    store: str
    rows_acknowledged: int
    rows_saved: int
    rows_lost: int
    segments_rewritten: int
    damages: tuple[Damage, ...]  # as `verify` named them before
    unacknowledged: tuple[Damage, ...]  # cut off

    JSON_PROPERTIES = ("changed",)

    @property
    def changed(self) -> bool:
        return bool(self.damages or self.unacknowledged)


def repair(folder: Path) -> RepairReport:
    """Bring a store into a state that `verify` finds whole.

    Each segment is replaced in one step, so a repair that is killed can be run again.

    Raises:
        StoreInUse: somebody writes to it.
        AitradeError: see `verify`.
        OSError: the disk is full or may not be written.
    """
    made = manifest_in(folder)
    before = verify(folder)
    if not before.damages and not before.unacknowledged:
        return of(before, before, 0)
    held = Lock(folder)
    try:
        before = verify(folder)
        made = manifest_in(folder)  # again: who held the lock before may have changed it
        if any(damage.file == manifest.NAME for damage in before.damages):
            replace(folder / manifest.NAME, made.to_bytes())
        seen = survey(folder, made)
        cut_tail(seen)
        rewritten = rewrite(folder, made, survey(folder, made), seen.total)
        if any(damage.file == keeping.NAME for damage in before.damages):
            (folder / keeping.NAME).unlink(missing_ok=True)
        after = verify(folder)
        return of(before, after, rewritten)
    finally:
        held.release()


def of(before: VerifyReport, after: VerifyReport, rewritten: int) -> RepairReport:
    return RepairReport(
        before.store,
        before.rows_acknowledged,
        after.rows_whole,
        after.rows_lost_before - before.rows_lost_before,
        rewritten,
        before.damages,
        before.unacknowledged,
    )


def rewrite(folder: Path, made: Manifest, seen: Survey, total: int) -> int:
    """Replace what is damaged and mark what is missing; segments that were written."""
    codecs = codecs_of(made)
    expected = first_expected(seen, made)
    count, last = 0, (0, 0)
    for number, segment in enumerate(seen.segments):
        if segment.first > expected:
            count += fill(folder, made, expected, segment.first, codecs[-1])
            expected = segment.first
        newest = number == len(seen.segments) - 1
        until = total if newest else seen.segments[number + 1].first
        writer, whole = salvaged(segment, made, codecs, max(expected, segment.first), until)
        if not whole:
            writer.put(folder)
            count += 1
        expected = max(expected, writer.end_row)
        last = segment.first, writer.bytes
    if expected < total:
        fill(folder, made, expected, total, codecs[-1])
        count, last = count + 1, (expected, 0)
    sequence = seen.mark.sequence if seen.mark else 0
    head.write_both(folder, Mark(made.store, sequence + 1, total, *last))
    return count


def fill(folder: Path, made: Manifest, first: int, end: int, codec: Codec) -> int:
    """A segment that says of rows that they are lost."""
    writer = SegmentWriter(made, first, codec)
    writer.hole(first, end - first)
    writer.put(folder)
    return 1


def salvaged(
    segment: Segment, made: Manifest, codecs: list[Codec], expected: int, until: int
) -> tuple[SegmentWriter, bool]:
    """A segment with every whole row, and whether the old one was that already."""
    writer = SegmentWriter(made, segment.first, codecs[-1])
    writer.end_row = expected
    whole = segment.header_whole and not segment.gaps
    with Mapped(segment.path) as data:
        for found in segment.found:
            if found.header.end <= writer.end_row:
                whole = False
                continue
            if found.header.first > writer.end_row:
                writer.hole(writer.end_row, found.header.first - writer.end_row)
                whole = False
            whole &= save(writer, data, found, codecs, made.schema.record_bytes)
    if writer.end_row < until:
        writer.hole(writer.end_row, until - writer.end_row)
        whole = False
    return writer, whole


def save(
    writer: SegmentWriter, data: memoryview, found: Found, codecs: list[Codec], record_bytes: int
) -> bool:
    """Take over what is whole of a block; True where that is the block as it is."""
    header = found.header
    if header.is_hole:
        writer.copy(data, found)
        return True
    rows, good = salvage(data, found, codecs, record_bytes)
    if rows is not None and good.all():
        right = payload_bytes(data, found)[1] and padding_is_zero(data, found)
        if right:
            writer.copy(data, found)
        else:
            writer.rows(rows)
        return right
    if rows is not None:
        for start, count in runs(good):
            if rows.first + start > writer.end_row:
                writer.hole(writer.end_row, rows.first + start - writer.end_row)
            writer.rows(rows.piece(start, start + count))
    if header.end > writer.end_row:
        writer.hole(writer.end_row, header.end - writer.end_row)
    return False


@view.register
def _(report: RepairReport) -> Sequence[Block]:
    if not report.changed:
        return (Verdict("Nothing to repair: every checksum is right", good=True),)
    said = f"Repaired: {report.rows_saved:,} rows saved, {report.rows_lost:,} lost"
    facts = (
        ("Acknowledged", f"{report.rows_acknowledged:,} rows"),
        ("Segments rewritten", str(report.segments_rewritten)),
    )
    blocks: list[Block] = [
        Verdict(said, good=report.rows_lost == 0),
        Facts("", (("Store", report.store), *facts)),
    ]
    if report.damages:
        blocks.append(table_of("What was damaged", report.damages))
    if report.unacknowledged:
        blocks.append(table_of("Cut off, never acknowledged", report.unacknowledged))
    return blocks
