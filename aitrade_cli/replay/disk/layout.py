"""Where on disk each row lies, as an array that is searched in one step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from aitrade_cli.replay.disk.scanning import Found
from aitrade_cli.replay.disk.survey import Segment

Numbers: TypeAlias = Int64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Placed:
    """One block and the segment that it lies in."""

    segment: int  # first row of the segment
    path: Path
    inode: int  # of the file; another one may come to lie at the path
    found: Found


@dataclass
class Layout:
    """The blocks of a store, oldest first, and the last row of each segment."""

    placed: list[Placed] = field(default_factory=list)
    ends: dict[int, tuple[Path, int]] = field(default_factory=dict)
    inodes: dict[int, int] = field(default_factory=dict)
    _firsts: Numbers | None = None

    def follow(self, segments: Sequence[Segment], total: int) -> list[Placed]:
        """Take over where rows below ``total`` lie now; the blocks that are new.

        Whoever reads keeps the list of before, which is not changed.
        """
        there = {segment.first: segment.inode for segment in segments}
        gone = self.inodes.keys() - there.keys()
        if self.was_rewritten(there):
            self.placed, self.ends, self.inodes = [], {}, {}
        elif gone:
            self.placed = [block for block in self.placed if block.segment not in gone]
            for segment in gone:
                del self.ends[segment], self.inodes[segment]
        self._firsts = None
        known = len(self.placed)
        reached = self.placed[-1].found.header.end if known else 0
        for segment in segments:
            if segment.end_row <= reached:
                continue
            for found in segment.found:
                # where a compact was killed, two segments hold the same rows
                if reached < found.header.end <= total:
                    self.append(Placed(segment.first, segment.path, segment.inode, found))
                    reached = found.header.end
        return self.placed[known:]

    def was_rewritten(self, there: dict[int, int]) -> bool:
        """Whether a segment is another file than before, or begins inside what is known."""
        if not self.placed:
            return False
        reached = self.placed[-1].found.header.end
        return any(
            self.inodes[first] != inode if first in self.inodes else first < reached
            for first, inode in there.items()
        )

    def append(self, placed: Placed) -> None:
        self.placed.append(placed)
        self.ends[placed.segment] = placed.path, placed.found.header.end
        self.inodes[placed.segment] = placed.inode
        self._firsts = None

    def drop_before(self, first: int) -> list[Path]:
        """Forget segments whose every row is older; their files. The newest segment stays."""
        gone = [segment for segment, (_, end) in self.ends.items() if end <= first]
        gone = [segment for segment in gone if segment != max(self.ends)]
        if not gone:
            return []
        self.placed = [block for block in self.placed if block.segment not in gone]
        self._firsts = None
        for segment in gone:
            del self.inodes[segment]
        return [self.ends.pop(segment)[0] for segment in gone]

    @property
    def oldest_end(self) -> int:
        """One past the last row of the oldest segment: before that nothing can be dropped."""
        return next(iter(self.ends.values()))[1] if self.ends else 0

    @property
    def firsts(self) -> Numbers:
        if self._firsts is None:
            firsts = [block.found.header.first for block in self.placed]
            self._firsts = np.array(firsts, np.int64)
        return self._firsts

    def block_of(self, index: Numbers) -> Numbers:
        """The position in ``placed`` of the block that holds each row."""
        return np.searchsorted(self.firsts, index, side="right") - 1
