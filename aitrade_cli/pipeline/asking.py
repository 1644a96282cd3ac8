"""A yes from the person in front of the terminal, waited for without blocking."""

from __future__ import annotations

import select
import sys
import time


def enter_pressed(seconds: float) -> bool:
    """Whether Enter was pressed within so many seconds. Without a terminal nobody can."""
    try:
        terminal = sys.stdin.isatty()
    except ValueError:  # closed
        terminal = False
    if not terminal:
        time.sleep(seconds)
        return False
    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return bool(ready and sys.stdin.readline())
