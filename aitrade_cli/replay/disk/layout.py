"""Where on disk each row lies, as an array that is searched in one step."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from aitrade_cli.replay.disk.scanning import Found

Numbers: TypeAlias = Int64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Placed:
    """One block and the segment that it lies in."""

    segment: int  # first row of the segment
    path: Path
    found: Found


@dataclass
class Layout:
    """The blocks of a store, oldest first, and the last row of each segment."""

    placed: list[Placed] = field(default_factory=list)
    ends: dict[int, tuple[Path, int]] = field(default_factory=dict)
    _firsts: Numbers | None = None

    def append(self, placed: Placed) -> None:
        self.placed.append(placed)
        self.ends[placed.segment] = placed.path, placed.found.header.end
        self._firsts = None

    def drop_before(self, first: int) -> list[Path]:
        """Forget segments whose every row is older; their files. The newest segment stays."""
        gone = [segment for segment, (_, end) in self.ends.items() if end <= first]
        gone = [segment for segment in gone if segment != max(self.ends)]
        if not gone:
            return []
        self.placed = [block for block in self.placed if block.segment not in gone]
        self._firsts = None
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
