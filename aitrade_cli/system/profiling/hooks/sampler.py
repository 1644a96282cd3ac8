"""A thread that notes memory, page faults and the line that is running, twenty times a second."""

from __future__ import annotations

import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Final

from aitrade_cli.system.profiling.hooks.recorder import is_user_file, user_frame

EVERY_SECONDS: Final = 0.05
# Without an outside sampler, the lines come from here: more of them are needed.
EVERY_SECONDS_ALONE: Final = 0.01
FIRST_LOOK: Final = 0.3  # seconds after the imports; containers are counted then, and ever rarer
LATER: Final = 1.6  # times as late, the next look
LATEST: Final = 2.0  # seconds between two looks: a program may end at any time
# A thread that wants to run while another works through bytecode waits for the interpreter's
# switch interval; while that one is inside a numpy or torch call, it need not wait.
WAITED_SECONDS: Final = 0.6 * sys.getswitchinterval()
IMPORTING: Final = "<frozen importlib._bootstrap>"


class Sampler(threading.Thread):
    """Notes what only shows over time. Stops by itself with the program."""

    def __init__(self, *, alone: bool, look: Callable[[FrameType], None]) -> None:
        super().__init__(name="aitrade-profile", daemon=True)
        self.every = EVERY_SECONDS_ALONE if alone else EVERY_SECONDS
        self.look = look
        self.main = threading.main_thread().ident
        self.over = threading.Event()
        self.rows: list[list[float]] = []
        self.lines: dict[tuple[str, int], list[int]] = {}
        self.importing = 0
        self.began = time.perf_counter()
        self.cpu_seconds = 0.0
        self.resident = Resident()
        self.ready = 0.0  # when the first line of the user's own ran
        self.due: float | None = None

    def run(self) -> None:
        """Sample until the end."""
        faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        slept = time.perf_counter()
        while not self.over.wait(self.every):
            waited = time.perf_counter() - slept - self.every
            frame = sys._current_frames().get(self.main or 0)
            used = resource.getrusage(resource.RUSAGE_SELF)
            at = time.perf_counter() - self.began
            self.note(at, frame, used, used.ru_minflt - faults, waited > WAITED_SECONDS)
            faults = used.ru_minflt
            if frame is not None and self.due is not None and at >= self.due:
                self.due = min(self.ready + LATER * (at - self.ready), at + LATEST)
                self.look(frame)
            del frame
            slept = time.perf_counter()
            self.cpu_seconds = time.thread_time()

    def note(
        self,
        at: float,
        frame: FrameType | None,
        used: resource.struct_rusage,
        faults: int,
        interpreting: bool,
    ) -> None:
        """One row of the timeline, and one sample of the line that runs."""
        self.rows.append(
            [
                at,
                self.resident.bytes(),
                used.ru_minflt,
                used.ru_nivcsw,
                used.ru_utime + used.ru_stime,
            ]
        )
        if frame is None:
            return
        if imports(frame):
            self.importing += 1
            self.due = None  # what was made while importing is no growth
            return
        near = user_frame(frame)
        if is_user_file(near.f_code.co_filename):
            if self.due is None:
                self.ready, self.due = at, at + FIRST_LOOK
            row = self.lines.setdefault((near.f_code.co_filename, near.f_lineno), [0, 0, 0])
            row[0] += 1
            row[1] += faults
            row[2] += interpreting

    def stop(self) -> None:
        """End the thread; what it noted stays."""
        self.over.set()
        self.join(timeout=1.0)


def imports(frame: FrameType | None) -> bool:
    """Whether the stack stands inside an import."""
    while frame is not None:
        if frame.f_code.co_filename == IMPORTING:
            return True
        frame = frame.f_back
    return False


class Resident:
    """Memory this process holds now; its peak where the kernel does not say."""

    def __init__(self) -> None:
        self.page = os.sysconf("SC_PAGE_SIZE")
        try:
            self.file = os.open("/proc/self/statm", os.O_RDONLY)
        except OSError:
            self.file = -1

    def bytes(self) -> int:
        """Ask the kernel; the file stays open, so that asking is cheap."""
        if self.file >= 0:
            return int(os.pread(self.file, 64, 0).split()[1]) * self.page
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
