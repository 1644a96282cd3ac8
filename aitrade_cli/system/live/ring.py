"""The newest lines of a run in a file that stays small."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path

from aitrade_cli.files import refresh


def is_ring(head: bytes) -> bool:
    """Whether a file that begins so was written by a `Ring` of moments."""
    return head.startswith(b'{"unix_seconds": ')


class Ring:
    """A JSONL file with the newest ``keep`` lines; while it is written, up to twice as many.

    Args:
        path: replaced at the start.
        keep: lines, >= 1.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: Path, keep: int) -> None:
        self._path = path
        self._kept: deque[str] = deque(maxlen=keep)
        self._in_file = 0
        refresh(path, b"")

    def add(self, data: object) -> None:
        """Add one object as a line of strict JSON."""
        line = json.dumps(data, allow_nan=False) + "\n"
        self._kept.append(line)
        if self._in_file >= 2 * (self._kept.maxlen or 1) - 1:
            self.trim()
            return
        with self._path.open("a", encoding="ascii") as file:
            file.write(line)
        self._in_file += 1

    def trim(self) -> None:
        """Leave the newest lines only."""
        refresh(self._path, "".join(self._kept).encode("ascii"))
        self._in_file = len(self._kept)
