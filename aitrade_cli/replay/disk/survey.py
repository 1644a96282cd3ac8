"""What lies in the folder of a store, found by reading headers only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aitrade_cli.replay.disk.format import LAST_OF_COMMIT, Mark
from aitrade_cli.replay.disk.head import newest, read_marks
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.scanning import Found, Gap, Mapped, blocks, header_of, segment_files


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file."""

    first: int  # as its name says
    path: Path
    size: int
    start: int  # of the first block
    header_whole: bool
    found: tuple[Found, ...]
    gaps: tuple[Gap, ...]

    @property
    def end_row(self) -> int:
        return max((block.header.end for block in self.found), default=self.first)


@dataclass(frozen=True, slots=True)
class Survey:
    """The segments, the marks, and where the acknowledged rows end.

    Attributes:
        segments: oldest first.
        marks: of the head file; None for a damaged one.
        total: rows acknowledged.
    """

    segments: tuple[Segment, ...]
    marks: tuple[Mark | None, ...]
    total: int

    @property
    def mark(self) -> Mark | None:
        return newest(list(self.marks))

    def is_tail(self, segment: Segment, offset: int) -> bool:
        """Whether bytes from ``offset`` on were never acknowledged."""
        mark = self.mark
        later = [block.offset for block in segment.found if block.header.end <= self.total]
        if mark is None:
            return segment is self.segments[-1] and all(offset > start for start in later)
        if segment.first != mark.segment:
            return segment.first > mark.segment and not later
        return offset >= mark.end and all(offset > start for start in later)


def survey(folder: Path, manifest: Manifest) -> Survey:
    """Read every header of a store.

    Raises:
        NewerStore: a segment is of a later version.
        OSError: a file cannot be read.
    """
    marks = [
        mark if mark is not None and mark.store == manifest.store else None
        for mark in read_marks(folder)
    ]
    segments = tuple(
        survey_segment(first, path, manifest.store) for first, path in segment_files(folder)
    )
    mark = newest(marks)
    acknowledged = 0 if mark is None else mark.total
    for segment in segments:
        for block in segment.found:
            if block.header.flags & LAST_OF_COMMIT:
                acknowledged = max(acknowledged, block.header.end)
    return Survey(segments, tuple(marks), acknowledged)


def survey_segment(first: int, path: Path, store: bytes) -> Segment:
    with Mapped(path) as data:
        header, start = header_of(data)
        ours = header is not None and header.store == store and header.first == first
        pieces = list(blocks(data, start, store))
        return Segment(
            first,
            path,
            len(data),
            start,
            ours,
            tuple(piece for piece in pieces if isinstance(piece, Found)),
            tuple(piece for piece in pieces if isinstance(piece, Gap)),
        )
