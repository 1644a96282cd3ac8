"""The head file: how much of the store was acknowledged, marked twice."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from aitrade_cli.files import replace
from aitrade_cli.replay.disk.format import CHECK, HEAD, HEAD_PLACES, Mark, read_mark

NAME: Final = "head"
MARK_BYTES: Final = HEAD.size + CHECK.size
PLACE_BYTES: Final = HEAD_PLACES[1]
SIZE: Final = PLACE_BYTES * len(HEAD_PLACES)


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


def only_marks(folder: Path) -> bool:
    """Whether nothing but zeros stands beside the marks."""
    try:
        data = bytearray((folder / NAME).read_bytes())
    except OSError:
        return True  # the marks themselves are missed
    whole = len(data) == SIZE
    for place in HEAD_PLACES:
        data[place : place + MARK_BYTES] = bytes(MARK_BYTES)
    return whole and not any(data)


def write_both(folder: Path, mark: Mark) -> None:
    """Start the head file anew in one step, both places alike."""
    packed = mark.pack()
    replace(folder / NAME, b"".join(packed.ljust(PLACE_BYTES, b"\0") for _ in HEAD_PLACES))


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
