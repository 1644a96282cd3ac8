"""Where the time of the hooked calls is added up, by kind and by the line that called."""

from __future__ import annotations

import functools
import re
import sys
import sysconfig
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

Totals = dict[str, Any]
EVENTS_KEPT: Final = 20_000
MOST_CALLS: Final = 30_000  # of small operations; then the samples alone tell the time
HERE: Final = str(Path(__file__).resolve().parents[1])
LIBRARIES: Final = tuple(
    {sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
)
THIRD_PARTY: Final = ("/site-packages/", "/dist-packages/")
# The libraries of another interpreter than ours, which may run what is profiled.
ANY_LIBRARY: Final = re.compile(r"/lib(?:64)?/(?:python|pypy)3\.\d+t?/|/python3\d+\.zip/")


class Recorder:
    """Adds up calls of the main thread. A call inside another is told under its outer kind."""

    def __init__(self, *, keep_events: bool) -> None:
        self.sites: dict[tuple[str, str, CodeType, int], list[float]] = {}
        self.facts: dict[str, Any] = {}
        self.events: list[tuple[str, float, float]] = []
        self.keep_events = keep_events
        self.outer: list[str] = []
        self.thread = threading.main_thread().ident
        self.started = time.perf_counter()
        self.calls = 0
        self.left: dict[str, int] = {}

    def add(
        self, kind: str, frame: FrameType, begun: float, ended: float, cpu: float, size: float
    ) -> None:
        """One finished call: where it was made, how long it took, what it moved."""
        self.calls += 1
        caller = user_frame(frame)
        key = (kind, self.outer[-1] if self.outer else "", caller.f_code, caller.f_lineno)
        row = self.sites.get(key)
        if row is None:
            row = self.sites[key] = [0, 0.0, 0.0, 0.0]
        row[0] += 1
        row[1] += ended - begun
        row[2] += cpu
        row[3] += size
        if self.keep_events and len(self.events) < EVENTS_KEPT:
            self.events.append((kind, begun - self.started, ended - begun))

    def timed(
        self,
        kind: str,
        function: Callable[..., Any],
        size: Callable[[Any, tuple[Any, ...]], float] | None = None,
        *,
        cpu: bool = False,
        enough: Callable[[], None] | None = None,
    ) -> Callable[..., Any]:
        """The function, with each outermost call of its kind added up.

        ``enough`` is called once after ``MOST_CALLS``: it takes the hook out, as by then it
        costs more than it tells.
        """
        outer, ident = self.outer, threading.get_ident

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- stands for any function
            if ident() != self.thread or kind in outer:
                return function(*args, **kwargs)
            spent = time.thread_time() if cpu else 0.0
            moved = 0.0
            outer.append(kind)
            begun = time.perf_counter()
            try:
                result = function(*args, **kwargs)
                if size is not None:
                    moved = size(result, args)
                return result
            finally:
                ended = time.perf_counter()
                outer.pop()
                spent = time.thread_time() - spent if cpu else 0.0
                self.add(kind, sys._getframe(1), begun, ended, spent, moved)
                if enough is not None:
                    self.left[kind] = self.left.get(kind, MOST_CALLS) - 1
                    if self.left[kind] == 0:
                        enough()

        return wrapper

    def rows(self) -> list[Totals]:
        """What was added up, as plain data."""
        return [
            {
                "kind": kind, "outer": outer, "file": code.co_filename, "line": line,
                "function": code.co_name, "calls": int(row[0]), "seconds": row[1],
                "cpu_seconds": row[2], "size": row[3],
            }
            for (kind, outer, code, line), row in self.sites.items()
        ]  # fmt: skip


@functools.lru_cache(maxsize=4096)
def is_user_file(file: str) -> bool:
    """Whether a file is the user's own: not Python's, not a package's, not ours."""
    if file.startswith(("<", "~", HERE)) or any(part in file for part in THIRD_PARTY):
        return False
    return not file.startswith(LIBRARIES) and ANY_LIBRARY.search(file) is None


def user_frame(frame: FrameType) -> FrameType:
    """The nearest frame of the user's own code; the frame itself where there is none."""
    at: FrameType | None = frame
    while at is not None:
        if is_user_file(at.f_code.co_filename):
            return at
        at = at.f_back
    return frame
