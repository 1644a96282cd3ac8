"""py-spy, attached to a process from outside."""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from aitrade_cli.system.profiling.stacks import Stacks, read_speedscope

RATE: Final = 30  # samples a second
START_SECONDS: Final = 5.0
FINISH_SECONDS: Final = 20.0
LAST_SECONDS: Final = 5.0  # after it was told to write
STARTED: Final = b"Sampling process"


def py_spy() -> str | None:
    """The sampler's program: beside this interpreter, else on the PATH."""
    beside = Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy")


class OutsideSampler:
    """Watches one process and what it starts, until it ends."""

    def __init__(self, folder: Path, *, seconds: float | None = None) -> None:
        self.path = folder / "stacks.speedscope.json"
        self.seconds = seconds
        self.process: subprocess.Popen[bytes] | None = None
        self.said = b""
        self.reason = ""

    def attach(self, pid: int) -> None:
        """Begin; returns when samples are taken, or ``reason`` says why none will be."""
        program = py_spy()
        if program is None:
            self.reason = "py-spy is not installed: `pip install py-spy`"
            return
        # Not paused while it is looked at: stopping two threads that wait for each other costs
        # milliseconds a sample, 28 % at 50 a second. Now and then a stack is torn instead.
        command = [
            program, "record", "--pid", str(pid), "--rate", str(RATE), "--nonblocking",
            "--subprocesses", "--idle", "--full-filenames", "--format", "speedscope",
            "--output", str(self.path),
        ]  # fmt: skip
        if self.seconds is not None:
            command += ["--duration", str(max(1, round(self.seconds)))]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        self.listen(self.process, START_SECONDS)

    def listen(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Read what it says until it samples or ends."""
        assert process.stdout is not None
        until = time.monotonic() + seconds
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while (left := until - time.monotonic()) > 0 and STARTED not in self.said:
                if selector.select(left):
                    piece = os.read(process.stdout.fileno(), 4096)
                    if not piece:
                        break
                    self.said += piece

    def finish(self, *, early: bool = False) -> float:
        """Wait for its file; the CPU seconds that it took, as far as they can be told.

        ``early`` tells it to write what it has now, as ^C does, which reaches us alone.
        """
        if self.process is None:
            return 0.0
        used = cpu_of(self.process.pid)
        if not (early and self.told_to_write(FINISH_SECONDS)):
            try:
                self.gather(FINISH_SECONDS)
            except subprocess.TimeoutExpired:
                if not self.told_to_write(LAST_SECONDS):
                    self.process.kill()
                    self.process.communicate()
        if not self.path.is_file():
            self.reason = why_not(self.said.decode("utf-8", "replace"))
        return used

    def told_to_write(self, seconds: float) -> bool:
        """Interrupt it, and whether it ended within so many seconds."""
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.gather(seconds)
            return True
        return False

    def gather(self, seconds: float) -> None:
        """Wait until it ended.

        Raises:
            TimeoutExpired: it goes on.
        """
        assert self.process is not None
        rest, _ = self.process.communicate(timeout=seconds)
        self.said += rest or b""

    def stacks(self, pid: int) -> Stacks | None:
        """What it saw, or None and a ``reason``."""
        if not self.path.is_file():
            return None
        try:
            found = read_speedscope(self.path, pid)
        except ValueError:
            self.reason = "its file cannot be read"
            return None
        if not found.main and not found.others:
            self.reason = "it took no sample: the program ended too early"
            return None
        return found

    def file(self) -> bytes | None:
        """Its file as it is."""
        with suppress(OSError):
            return self.path.read_bytes()
        return None


def cpu_of(pid: int) -> float:
    import psutil

    with suppress(psutil.Error):
        times = psutil.Process(pid).cpu_times()
        return times.user + times.system
    return 0.0


def why_not(said: str) -> str:
    """Its complaint in our words where it is known, else its last line."""
    if re.search(r"(?i)permission denied|os error 13|os error 1\b", said):
        return "not permitted to look into another process: run as its owner, or as root"
    if "python version" in said or "python interpreter" in said.lower():
        return "the program is no Python"
    if "No such process" in said or "os error 3" in said:
        return "the process has ended"
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "it left no samples"
