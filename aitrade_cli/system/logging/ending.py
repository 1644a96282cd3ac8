"""What is done when a process that logs ends."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Callable
from contextlib import suppress


def at_exit(call: Callable[[], object]) -> None:
    atexit.register(call)
    # A process that multiprocessing forked leaves by another door.
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        util.Finalize(None, call, exitpriority=100)


def tell_of_loss(lost: int, reason: str | None) -> None:
    with suppress(OSError, ValueError):  # nobody is left to tell
        sys.stderr.write(f"log: {lost:,} records could not be written: {reason}\n")
