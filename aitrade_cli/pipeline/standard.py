"""The three standard streams, made dependable before anything else runs."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Open what the caller closed, and let no letter break a report.

    With ``aitrade … >&-`` the next file that is opened would become stdout, and a
    library's stray word would land in it. In a terminal that is not UTF-8, a letter it
    lacks is spelt out.
    """
    for descriptor in (0, 1, 2):
        if not is_open(descriptor):
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
