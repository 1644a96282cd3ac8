"""The parent's side of a worker: start it, ask it, give up on it, end it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

from aitrade_cli.errors import BadInput, Missing, Refused

COMMAND: Final = (sys.executable, "-P", "-m", "aitrade_cli.inference.worker")
THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
SECONDS_TO_LEAVE: Final = 2.0
STDERR_TAIL_BYTES: Final = 8_192
INPUT_CODES: Final = frozenset((BadInput.exit_code, Refused.exit_code))


class VariantFailed(Missing):
    """A variant could not be opened or run here, died, or did not answer in time."""

    default_hint = "leave it out: `--runtime` names those to run"

    def __init__(self, variant: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"`{variant}`: {reason}", hint=hint)
        self.variant = variant
        self.reason = reason

    def while_doing(self, what: str) -> VariantFailed:
        """The same failure, and what was going on."""
        return type(self)(self.variant, f"{what}: {self.reason}", hint=self.hint)


class VariantRefused(VariantFailed):
    """A variant's file or inputs are not ones that its runtime takes."""

    exit_code = 4


class Worker:
    """One process that runs one variant. Use it in a ``with``: the end always ends it."""

    def __init__(self, variant: str, *, threads: int = 1, command: Sequence[str] = COMMAND) -> None:
        self.variant = variant
        self.cpu_seconds = 0.0  # as of its last answer
        self._left_over = b""
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 -- closed in `close`
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                env=environment(threads, os.environ),
                # Its own group: ^C reaches only us, and we end it with its compilers and all.
                start_new_session=True,
            )
        except OSError as error:
            self._stderr.close()
            raise VariantFailed(variant, f"cannot start a process: {error.strerror}") from error

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close(gently=kind is None)

    def ask(self, request: Mapping[str, Any], *, seconds: float) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises:
            VariantFailed: see `receive`.
        """
        self.send(request)
        return self.receive(seconds=seconds)

    def send(self, request: Mapping[str, Any]) -> None:
        """Send one request; the answer is fetched with `receive`, so several can work at once."""
        assert self._process.stdin is not None  # opened as a pipe above
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def receive(self, *, seconds: float) -> dict[str, Any]:
        """The answer to the oldest unanswered request.

        Raises:
            VariantFailed: the variant cannot run, its process died, or ``seconds`` passed.
        """
        answer = json.loads(self._read_line(time.monotonic() + seconds, seconds))
        self.cpu_seconds = answer.get("cpu_seconds", self.cpu_seconds)
        if "error" in answer:
            kind = VariantRefused if answer["exit_code"] in INPUT_CODES else VariantFailed
            raise kind(self.variant, answer["error"], hint=answer["hint"] or None)
        return answer

    def _read_line(self, deadline: float, seconds: float) -> bytes:
        assert self._process.stdout is not None  # opened as a pipe above
        descriptor = self._process.stdout.fileno()
        pieces = [self._left_over]
        while b"\n" not in pieces[-1]:
            ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                self.close(gently=False)
                raise VariantFailed(self.variant, f"no answer within {seconds:.0f} s")
            piece = os.read(descriptor, 1 << 16)
            if not piece:
                raise self._death()
            pieces.append(piece)
        line, _, self._left_over = b"".join(pieces).partition(b"\n")
        return line

    def _death(self) -> VariantFailed:
        try:
            code = self._process.wait(SECONDS_TO_LEAVE)
        except subprocess.TimeoutExpired:
            code = None  # it closed its pipe and lives on; `close` ends it
        said = self._last_words()
        self.close(gently=False)
        return VariantFailed(self.variant, ending(code) + (f": {said}" if said else ""))

    def _last_words(self) -> str:
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - STDERR_TAIL_BYTES))
        lines = self._stderr.read().decode(errors="replace").splitlines()
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    def close(self, *, gently: bool = True) -> None:
        """End the process and all it started. Safe to call twice."""
        if self._stderr.closed:
            return
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # it died with a request in the pipe
                    pipe.close()
        if gently:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SECONDS_TO_LEAVE)
        # Once it was waited for, its number may belong to somebody else.
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._stderr.close()


def ending(code: int | None) -> str:
    """How a process ended, in words."""
    if code is None:
        return "its process closed the pipe"
    if code < 0:
        name = signal.Signals(-code).name
        return f"its process was killed by {name}" + (" (out of memory?)" if -code == 9 else "")
    return f"its process ended with code {code}"


def environment(threads: int, inherited: Mapping[str, str]) -> dict[str, str]:
    """A worker's environment: thread pools sized before any library reads them.

    The folder of this package comes first on its path, and never the current folder: a
    `numpy.py` lying there must not run.
    """
    package_root = str(Path(__file__).resolve().parents[2])
    others = inherited.get("PYTHONPATH", "").split(os.pathsep)
    path = os.pathsep.join([package_root, *(folder for folder in others if folder)])
    sizes = dict.fromkeys(THREAD_VARIABLES, str(threads))
    # A warning would be taken for a dying worker's last words.
    return {**inherited, **sizes, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
