"""Start a program, watched or not, and wait for it whatever it does."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.system.profiling.given_input import offset_of_input
from aitrade_cli.system.profiling.sampling import OutsideSampler
from aitrade_cli.system.profiling.stacks import Stacks
from aitrade_cli.system.profiling.target import Program

HOOKS: Final = Path(__file__).with_name("hooks") / "__main__.py"
GRACE_SECONDS: Final = 8.0  # for a program that was interrupted to leave what was seen
LINES_KEPT: Final = 20
LOOK_SECONDS: Final = 0.25  # between looks at the limit
POLL_SECONDS: Final = 0.02  # between looks whether it ended, where the kernel does not tell


class CannotStart(BadInput):
    """The operating system would not run the program."""


@dataclass(frozen=True, slots=True)
class Order:
    """How to run a program."""

    program: Program
    hooks: bool = False
    sampler: bool = False
    events: bool = False
    quiet: bool = False  # what it prints is kept from the screen
    through: bool = False  # start it the same way as with other text, so that both compare
    environment: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)  # other text for some files
    torch_profile: bool = False  # torch's own profiler around a few steps
    limit_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """How a program ended, and what was seen of it."""

    exit_code: int
    wall_seconds: float
    cpu_seconds: float  # of it and of whatever it waited for
    peak_bytes: int
    output_sha256: str
    last_words: tuple[str, ...]  # the end of its stderr
    pid: int
    interrupted: bool = False
    killed: bool = False  # past its limit
    evidence: Mapping[str, Any] | None = None
    stacks: Stacks | None = None
    speedscope: bytes | None = None
    sampler_cpu_seconds: float = 0.0
    sampler_reason: str = ""  # why there are no samples
    torch_operators: Sequence[Mapping[str, Any]] = ()
    torch_trace: bytes | None = None


def run(order: Order) -> Run:
    """Run a program to its end; ^C ends it early and keeps what was seen.

    Raises:
        CannotStart: it could not be started at all.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aitrade-profile-")))
        return Running(order, folder).to_the_end()


class Running:
    """One program while it runs."""

    def __init__(self, order: Order, folder: Path) -> None:
        self.order = order
        self.folder = folder
        self.evidence = folder / "evidence.json"
        self.last: deque[str] = deque(maxlen=LINES_KEPT)
        self.printed = hashlib.sha256()
        self.interrupted = self.killed = False
        self.peak = 0
        self.sampler = OutsideSampler(folder) if order.sampler else None

    def to_the_end(self) -> Run:
        """Start it, let it run, gather."""
        before, offset = resource.getrusage(resource.RUSAGE_CHILDREN), offset_of_input()
        self.begun = time.perf_counter()
        process = self.start()
        readers = [
            threading.Thread(target=self.read, args=(stream, number), daemon=True)
            for stream, number in ((process.stdout, 1), (process.stderr, 2))
        ]
        for reader in readers:
            reader.start()
        try:
            self.wait(process)
        finally:
            kill_group(process)
            if offset is not None:  # the next run reads the same
                os.lseek(0, offset, os.SEEK_SET)
        wall = time.perf_counter() - self.begun
        for reader in readers:
            reader.join(timeout=2.0)
        sampler_cpu = self.sampler.finish() if self.sampler else 0.0
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime - sampler_cpu
        return self.gathered(process, wall, max(cpu, 0.0), sampler_cpu)

    def start(self) -> subprocess.Popen[bytes]:
        command, pipes = self.command()
        terminal = sys.stdin is not None and sys.stdin.isatty()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL if terminal else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment_with(self.order.environment),
                pass_fds=pipes[:2],
                process_group=0,
            )
        except OSError as error:
            raise CannotStart(f"cannot run `{command[0]}`: {error.strerror}") from error
        if pipes:
            self.let_go(process, pipes)
        elif self.sampler:
            self.sampler.attach(process.pid)
        return process

    def command(self) -> tuple[list[str], tuple[int, ...]]:
        """The command line, and the ends of the pipes: ready (write), go (read), and ours."""
        program = self.order.program
        if program.python is None:
            return list(program.words), ()
        pipes: tuple[int, ...] = ()
        words: dict[str, Any] = {"words": program.script, "texts": dict(self.order.texts)}
        if self.order.hooks:
            words["evidence"] = str(self.evidence)
            words["events"] = self.order.events
            words["alone"] = self.sampler is None
            if self.sampler is not None:
                ready_read, ready = os.pipe()
                go, go_write = os.pipe()
                pipes = (ready, go, ready_read, go_write)
                words |= {"ready": ready, "go": go}
        if self.order.torch_profile:
            words["torch_profile"] = str(self.folder)
        elif not (self.order.hooks or self.order.texts or self.order.through):
            return [program.python, *program.script], ()
        path = self.folder / "order.json"
        path.write_text(json.dumps(words), encoding="utf-8")
        return [program.python, str(HOOKS), str(path)], pipes

    def let_go(self, process: subprocess.Popen[bytes], pipes: Sequence[int]) -> None:
        """Attach the sampler once the interpreter is up, and only then let the script begin."""
        ready, go, ready_read, go_write = pipes
        os.close(ready)
        os.close(go)
        with os.fdopen(ready_read, "rb", buffering=0) as side:
            arrived = side.read(1)
        if arrived and self.sampler:
            self.sampler.attach(process.pid)
        self.begun = time.perf_counter()
        with suppress(BrokenPipeError), os.fdopen(go_write, "wb", buffering=0) as side:
            side.write(b"1")

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Sleep until it ends: whoever wakes up often takes a core from what is watched."""
        with sleeping(process.pid) as sleep:
            while process.returncode is None:
                try:
                    sleep()
                    self.bury(process)
                    self.keep_limit(process)
                except KeyboardInterrupt:
                    self.interrupt(process)

    def bury(self, process: subprocess.Popen[bytes]) -> None:
        """Once it ended take its exit code, and from the kernel the most memory that it held."""
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            self.peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

    def keep_limit(self, process: subprocess.Popen[bytes]) -> None:
        limit = self.order.limit_seconds
        if process.returncode is not None or limit is None:
            return
        if time.perf_counter() - self.begun > limit:
            self.killed = True
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def interrupt(self, process: subprocess.Popen[bytes]) -> None:
        """Hand ^C on, once; whoever does not end then is killed."""
        if self.interrupted:
            kill_group(process)
            return
        self.interrupted = True
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        limit = time.perf_counter() - self.begun + GRACE_SECONDS
        self.order = replace(self.order, limit_seconds=limit)

    def read(self, stream: IO[bytes] | None, number: int) -> None:
        """Pass on what the program prints: its words go to stderr, the report to stdout."""
        if stream is None:
            return
        with stream:
            while line := stream.readline():
                if number == 1:
                    self.printed.update(line)
                else:
                    self.last.append(line.decode("utf-8", "replace").rstrip())
                if not self.order.quiet:
                    with suppress(OSError):
                        os.write(2, line)

    def gathered(
        self, process: subprocess.Popen[bytes], wall: float, cpu: float, sampler_cpu: float
    ) -> Run:
        evidence = read_json(self.evidence)
        code = process.returncode
        if evidence is not None:
            code = evidence["exit_code"]
        return Run(
            exit_code=code if code >= 0 else 128 - code,
            wall_seconds=wall,
            cpu_seconds=cpu,
            peak_bytes=self.peak,
            output_sha256=self.printed.hexdigest(),
            last_words=tuple(self.last),
            pid=process.pid,
            interrupted=self.interrupted,
            killed=self.killed and not self.interrupted,
            evidence=evidence,
            stacks=self.sampler.stacks(process.pid) if self.sampler else None,
            speedscope=self.sampler.file() if self.sampler else None,
            sampler_cpu_seconds=sampler_cpu,
            sampler_reason=self.sampler.reason if self.sampler else "",
            torch_operators=read_json(self.folder / "torch.operators.json") or (),
            torch_trace=read_bytes(self.folder / "torch.trace.json"),
        )


@contextmanager
def sleeping(pid: int) -> Iterator[Callable[[], object]]:
    """A call that sleeps until a process ended, or a while; often where nobody can wake it."""
    try:
        handle = os.pidfd_open(pid)
    except (AttributeError, OSError):  # macOS has none, and some containers refuse it
        yield lambda: time.sleep(POLL_SECONDS)
        return
    try:
        yield lambda: select.select([handle], [], [], LOOK_SECONDS)
    finally:
        os.close(handle)


def read_bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def read_json(path: Path) -> Any:  # noqa: ANN401 -- what the hooks left
    """What a file holds; None where it is not there or was cut off."""
    with suppress(OSError, ValueError):
        return json.loads(path.read_text(encoding="utf-8"))
    return None


def environment_with(changes: Mapping[str, str]) -> dict[str, str]:
    """Ours with the changes; an empty value takes a variable away."""
    return {name: value for name, value in {**os.environ, **changes}.items()
            if value or name not in changes}  # fmt: skip


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
