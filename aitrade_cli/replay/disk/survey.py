"""What lies in the folder of a store, found by reading headers only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrade_cli.replay.disk.format import LAST_OF_COMMIT, Mark
from aitrade_cli.replay.disk.head import newest, read_marks
from aitrade_cli.replay.disk.manifest import Manifest
from aitrade_cli.replay.disk.scanning import (
    Found,
    Gap,
    Identity,
    Mapped,
    Moved,
    blocks,
    header_of,
    segment_files,
)

MOST_LOOKS: Final = 100  # while a writer lets go of what was about to be read


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment file."""

    first: int  # as its name says
    path: Path
    identity: Identity
    start: int  # of the first block
    header_whole: bool
    found: tuple[Found, ...]
    gaps: tuple[Gap, ...]

    @property
    def size(self) -> int:
        return self.identity.size

    @property
    def inode(self) -> int:
        return self.identity.inode

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
            # a writer goes on between the reading of the mark and that of the segment
            return segment.first > mark.segment and all(offset > start for start in later)
        return offset >= mark.end and all(offset > start for start in later)


def survey(folder: Path, manifest: Manifest, known: Iterable[Segment] = ()) -> Survey:
    """Read every header of a store, beside a writer too.

    Args:
        folder: of the store.
        manifest: of the store.
        known: segments of a survey before; those that did not change are not read again.

    Raises:
        Moved: the writer lets go of segments faster than they can be read.
        NewerStore: a segment is of a later version.
        OSError: a file cannot be read.
    """
    before = {segment.path: segment for segment in known}
    for look in range(1, MOST_LOOKS + 1):
        # The mark comes first: whatever it acknowledges was written and, where it is not
        # evicted, is still to be found.
        marks = tuple(marks_of(folder, manifest))
        try:
            found = segment_files(folder)
            segments = tuple(looked_at(*named, manifest.store, before) for named in found)
        except Moved:
            if look == MOST_LOOKS:
                raise
            continue
        return Survey(segments, marks, acknowledged(marks, segments))
    raise RuntimeError("a survey ends with what it saw or with an error")


def marks_of(folder: Path, manifest: Manifest) -> Iterable[Mark | None]:
    """The marks of this store; None for one that is damaged or another store's."""
    for mark in read_marks(folder):
        yield mark if mark is not None and mark.store == manifest.store else None


def acknowledged(marks: Iterable[Mark | None], segments: Iterable[Segment]) -> int:
    """One past the last row that was acknowledged."""
    mark = newest(list(marks))
    total = 0 if mark is None else mark.total
    for segment in segments:
        for block in segment.found:
            if block.header.flags & LAST_OF_COMMIT:
                total = max(total, block.header.end)
    return total


def looked_at(first: int, path: Path, store: bytes, known: dict[Path, Segment]) -> Segment:
    """A segment as it is now; kept in ``known``.

    Raises:
        Moved: it is not there any more.
    """
    try:
        now = Identity.of(path.stat())
    except FileNotFoundError:
        raise Moved(path) from None
    if path not in known or known[path].identity != now:
        known[path] = survey_segment(first, path, store)
    return known[path]


def survey_segment(first: int, path: Path, store: bytes) -> Segment:
    mapped = Mapped(path)
    with mapped as data:
        header, start = header_of(data)
        ours = header is not None and header.store == store and header.first == first
        pieces = list(blocks(data, start, store))
        return Segment(
            first,
            path,
            mapped.identity,
            start,
            ours,
            tuple(piece for piece in pieces if isinstance(piece, Found)),
            tuple(piece for piece in pieces if isinstance(piece, Gap)),
        )
