"""Prove every byte of a store, and name what is not as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.replay.disk import head, keeping, manifest
from aitrade_cli.replay.disk.damage import Damage, VerifyReport
from aitrade_cli.replay.disk.manifest import DamagedManifest, Manifest
from aitrade_cli.replay.disk.opening import manifest_in
from aitrade_cli.replay.disk.packing import codecs_of, decoded, whole_rows
from aitrade_cli.replay.disk.scanning import (
    Found,
    Gap,
    Mapped,
    Moved,
    columns_bytes,
    padding_is_zero,
    payload_bytes,
)
from aitrade_cli.replay.disk.survey import MOST_LOOKS, Segment, Survey, marks_of, survey
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import COLUMNS

DOUBTS: Final = 3  # looks at damage beside a writer, who may have been half-way through


@dataclass
class Tally:
    """What was found on the way through the segments."""

    expected: int  # the next row
    whole: int = 0
    holes: int = 0
    damages: list[Damage] = field(default_factory=list)
    tail: list[Damage] = field(default_factory=list)


def verify(folder: Path) -> VerifyReport:
    """Read the whole store, and change nothing. Beside a writer, what it lets go of is left out.

    Raises:
        NoStore: nothing is there.
        ForeignFolder: something else is there.
        DamagedManifest: it is damaged, and so is every copy.
        Moved: it is rewritten again and again.
        NewerStore: the store is of a later version.
    """
    doubts = 0
    for _ in range(MOST_LOOKS):
        made = manifest_in(folder)
        seen = survey(folder, made)
        try:
            report = verify_survey(folder, made, seen)
        except Moved:
            continue
        doubts += 1
        # A mark or a directory that is read while it is written may look damaged: a writer
        # who is at work is worth another look.
        if report.passed or doubts == DOUBTS or tuple(marks_of(folder, made)) == seen.marks:
            return report
    raise Moved(folder)


def verify_survey(folder: Path, made: Manifest, seen: Survey) -> VerifyReport:
    """Raises:
    Moved: a segment was rewritten meanwhile.
    """
    tally = Tally(first_expected(seen, made))
    tally.damages += beside_the_rows(folder, seen)
    codecs = codecs_of(made)
    for segment in seen.segments:
        try:
            verify_segment(segment, seen, codecs, made.schema.record_bytes, tally)
        except Moved:
            if not was_evicted(folder, made, segment):
                raise
            tally.expected = max(tally.expected, segment_after(seen, segment))
    if tally.expected < seen.total:
        missing_end(seen, tally)
    return VerifyReport(
        str(folder),
        seen.total,
        tally.whole,
        tally.holes,
        len(seen.segments),
        sum(segment.size for segment in seen.segments),
        tuple(tally.damages),
        tuple(tally.tail),
    )


def was_evicted(folder: Path, made: Manifest, segment: Segment) -> bool:
    """Whether the writer has let go of a segment: a mark said so before it did."""
    mark = head.newest(list(marks_of(folder, made)))
    evicted = mark is not None and segment.end_row <= mark.total - made.capacity
    return evicted and not segment.path.exists()


def first_expected(seen: Survey, made: Manifest) -> int:
    """The oldest row that has to be there."""
    live = max(0, seen.total - made.capacity)
    return min(live, seen.segments[0].first) if seen.segments else live


def beside_the_rows(folder: Path, seen: Survey) -> Iterator[Damage]:
    """Damage to the manifest, the marks and the sampler's state."""
    path = folder / manifest.NAME
    try:
        manifest.read(folder)
    except FileNotFoundError:
        yield Damage(manifest.NAME, 0, 0, None, 0, "the manifest is gone; a segment has a copy")
    except DamagedManifest:
        size = path.stat().st_size
        yield Damage(manifest.NAME, 0, size, None, 0, "the manifest is damaged; a copy is whole")
    for place, mark in zip(head.HEAD_PLACES, seen.marks, strict=True):
        if mark is None:
            yield Damage(head.NAME, place, head.MARK_BYTES, None, 0, "a mark is damaged")
    if not head.only_marks(folder):
        yield Damage(head.NAME, 0, 0, None, 0, "there are bytes beside the marks")
    kept = folder / keeping.NAME
    if kept.exists() and keeping.read_state(folder) is None:
        said = "priorities cannot be read; they begin anew"
        yield Damage(keeping.NAME, 0, kept.stat().st_size, None, 0, said)


def pieces_of(segment: Segment) -> list[Found | Gap]:
    """Blocks and damaged bytes in the order of their offsets."""
    gaps = list(segment.gaps)
    if not segment.header_whole:
        gaps.append(Gap(0, segment.start, "the header is damaged or another store's"))
    return sorted([*segment.found, *gaps], key=lambda piece: piece.offset)


def verify_segment(
    segment: Segment, seen: Survey, codecs: list[Codec], record_bytes: int, tally: Tally
) -> None:
    name = f"{segment.path.parent.name}/{segment.path.name}"
    gap: Gap | None = None
    with Mapped(segment.path, segment.inode) as data:
        for piece in pieces_of(segment):
            if seen.is_tail(segment, piece.offset):
                tally.tail.append(tail_of(name, piece))
            elif isinstance(piece, Gap):
                if gap is not None:
                    tally.damages.append(of_gap(name, gap, None, 0))
                gap = piece
            else:
                before = max(0, piece.header.first - tally.expected)
                if gap is not None or before:
                    place = gap or Gap(piece.offset, piece.offset, "rows are missing before it")
                    lost = tally.expected if before else None
                    tally.damages.append(of_gap(name, place, lost, before))
                gap = None
                tally.damages += verify_block(name, data, piece, codecs, record_bytes, tally)
                tally.expected = max(tally.expected, piece.header.end)
    if gap is not None:
        end = segment_after(seen, segment)
        lost = max(0, end - tally.expected)
        first = tally.expected if lost else None
        tally.damages.append(of_gap(name, gap, first, lost))
        tally.expected = max(tally.expected, end)


def segment_after(seen: Survey, segment: Segment) -> int:
    """The first row that this segment cannot hold."""
    later = [other.first for other in seen.segments if other.first > segment.first]
    return min([seen.total, *later])


def of_gap(name: str, gap: Gap, first: int | None, rows: int) -> Damage:
    return Damage(name, gap.offset, gap.end - gap.offset, first, rows, gap.reason)


def tail_of(name: str, piece: Found | Gap) -> Damage:
    size = piece.end - piece.offset
    if isinstance(piece, Gap):
        return Damage(name, piece.offset, size, None, 0, "a write that was cut short")
    rows = piece.header.first, piece.header.count
    return Damage(name, piece.offset, size, *rows, "written and never acknowledged")


def verify_block(
    name: str,
    data: memoryview,
    found: Found,
    codecs: list[Codec],
    record_bytes: int,
    tally: Tally,
) -> Iterator[Damage]:
    header = found.header
    if header.is_hole:
        tally.holes += header.count
        return
    columns = columns_bytes(data, found)
    if columns is None or len(columns) != header.count * COLUMNS.itemsize:
        reason = "the columns are damaged"
        yield Damage(name, found.offset, header.bytes, header.first, header.count, reason)
        return
    payload, right = payload_bytes(data, found)
    if not padding_is_zero(data, found):
        yield Damage(name, found.offset, header.bytes, None, 0, "the padding is damaged")
    if right:
        tally.whole += header.count
        return
    at = found.offset + header.payload_at
    records = decoded(payload, header, codecs, record_bytes)
    if records is None:
        reason = "the records cannot be unpacked"
        yield Damage(name, at, header.payload_bytes, header.first, header.count, reason)
        return
    whole = whole_rows(records, header.first)
    tally.whole += int(np.count_nonzero(whole))
    raw = header.payload_bytes == header.count * record_bytes
    for start, count in runs(~whole):
        where = (at + start * record_bytes, count * record_bytes)
        place = where if raw else (at, header.payload_bytes)
        yield Damage(name, *place, header.first + start, count, "records are torn")
    if whole.all():
        yield Damage(name, at, header.payload_bytes, None, 0, "padding of the records is damaged")


def runs(marked: np.ndarray) -> Iterator[tuple[int, int]]:
    """Start and length of each stretch of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marked.view(np.int8), [0]))))
    for start, end in edges.reshape(-1, 2).tolist():
        yield start, end - start


def missing_end(seen: Survey, tally: Tally) -> None:
    """Acknowledged rows that no segment holds."""
    rows = seen.total - tally.expected
    last = seen.segments[-1] if seen.segments else None
    name = f"{last.path.parent.name}/{last.path.name}" if last else "segments"
    size = last.size if last else 0
    reason = "the file ends before the last row that was acknowledged"
    tally.damages.append(Damage(name, size, 0, tally.expected, rows, reason))
