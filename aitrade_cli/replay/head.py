"""The head file: how much of the store was acknowledged, marked twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aitrade_cli.replay.format import HEAD_PLACES, Mark, read_mark

NAME: Final = "head"


def read_marks(folder: Path) -> list[Mark | None]:
    """Both marks; None for one that is damaged."""
    try:
        data = (folder / NAME).read_bytes()
    except OSError:
        data = b""
    return [read_mark(memoryview(data)[place:]) for place in HEAD_PLACES]


def newest(marks: list[Mark | None]) -> Mark | None:
    known = [mark for mark in marks if mark is not None]
    return max(known, key=lambda mark: mark.sequence, default=None)


def write_both(folder: Path, mark: Mark) -> None:
    """Start the head file anew, both places alike."""
    descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        for place in HEAD_PLACES:
            os.pwrite(descriptor, mark.pack(), place)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Head:
    """Writes marks in turn, so that one is whole whatever happens to the other."""

    def __init__(self, folder: Path, mark: Mark) -> None:
        self.descriptor = os.open(folder / NAME, os.O_WRONLY | os.O_CLOEXEC)
        self.mark = mark

    def advance(self, total: int, segment: int, end: int, *, sync: bool) -> None:
        """Acknowledge everything up to ``total``."""
        mark = Mark(self.mark.store, self.mark.sequence + 1, total, segment, end)
        os.pwrite(self.descriptor, mark.pack(), HEAD_PLACES[mark.sequence % 2])
        if sync:
            os.fdatasync(self.descriptor)
        self.mark = mark

    def sync(self) -> None:
        os.fsync(self.descriptor)

    def close(self) -> None:
        os.close(self.descriptor)
