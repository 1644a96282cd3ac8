"""Checkpoints written by a thread of their own, while the next steps are taken."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrade_cli.training.checkpoints.coding import Coder
from aitrade_cli.training.checkpoints.layout import Written, write
from aitrade_cli.training.checkpoints.snapshot import Snapshot

NICENESS: Final = 10  # training has the first claim on a core


@dataclass(frozen=True, slots=True)
class Cost:
    """What a checkpoint cost.

    Attributes:
        stall_seconds: that the training thread waited.
        cpu_seconds: of the writing thread.
    """

    written: Written
    stall_seconds: float
    cpu_seconds: float


class Writer:
    """At most one checkpoint is under way; the caller waits for the copy alone.

    Args:
        done: told about each checkpoint that is whole and in place, in the writing thread.
        failed: told about each that could not be written; what was there before is untouched.
    """

    def __init__(
        self,
        done: Callable[[Cost], None] = lambda _: None,
        failed: Callable[[Path, OSError], None] = lambda *_: None,
    ) -> None:
        self.done, self.failed = done, failed
        self.snapshot, self.coder = Snapshot(), Coder()
        self.thread: threading.Thread | None = None
        self.broken: BaseException | None = None

    @property
    def busy(self) -> bool:
        """A checkpoint is being written."""
        return self.thread is not None and self.thread.is_alive()

    def save(self, path: Path, state: object, head: Mapping[str, Any]) -> None:
        """Copy a state and return; it is written to ``path`` meanwhile.

        Waits first where the one before is still being written: ask ``busy`` to avoid that.

        Raises:
            NotPlain: the state holds something beyond tensors and plain data.
            TornSnapshot: the state was changed by another thread while it was copied.
        """
        started = time.perf_counter()
        self.wait()
        self.snapshot.take(state)
        stall = time.perf_counter() - started
        # Not a daemon: the last checkpoint is finished before the process ends.
        self.thread = threading.Thread(
            target=self.work, args=(path, dict(head), stall), name="checkpoint"
        )
        self.thread.start()

    def wait(self) -> None:
        """Until nothing is under way. A bug met while writing is raised here."""
        if self.thread is not None:
            self.thread.join()
            self.thread = None
        if self.broken is not None:
            broken, self.broken = self.broken, None
            raise broken

    def work(self, path: Path, head: Mapping[str, Any], stall: float) -> None:
        try:
            step_back()
            started = time.thread_time()
            written = write(path, head, self.snapshot.tree, self.snapshot.tensors, self.coder)
            self.done(Cost(written, stall, time.thread_time() - started))
        except OSError as error:
            self.failed(path, error)
        except Exception as error:  # handed to the thread that waits
            self.broken = error


def step_back() -> None:
    # On Linux a thread has a niceness of its own; elsewhere it would be that of the process.
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
