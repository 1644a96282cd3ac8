"""Workers on this machine: started together, and when one dies all end, with its reason."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeVar

from aitrade_cli.errors import AitradeError, Missing
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.worker import live

Result = TypeVar("Result")
SECONDS_FOR_REASONS: Final = 2.0  # others notice a death too, and may be heard first
SECONDS_TO_LEAVE: Final = 5.0


class WorkerKilled(Missing):
    """A process of the run was ended from outside, by the kernel for want of memory say."""

    default_hint = "`dmesg` tells whether memory ran out; `--resume` goes on from the checkpoint"


class WorkerFailed(RuntimeError):
    """A process of the run met a bug; its traceback is the cause of this error."""


class TracebackOf(Exception):
    """What the worker's own traceback says."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(slots=True)
class Ending:
    """How a worker ended badly: what it told, or else its exit code."""

    rank: int
    error: AitradeError | None = None
    told: str = ""
    code: int | None = None

    @property
    def only_followed(self) -> bool:
        """It ended because another had."""
        return self.error is None and any(sign in self.told for sign in FOLLOWED)


FOLLOWED: Final = (
    "Connection closed by peer",
    "Connection reset by peer",
    "NCCL",
    "[gloo/",
    "gloo",
)


def spread(
    work: Callable[..., Result],
    arguments: Sequence[Any],
    *,
    world: int,
    threads: int,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Run ``work(seat, say, *arguments)`` in ``world`` processes that form a group.

    Args:
        work: a function at the top of a module; called in each process once all have joined.
        arguments: can be pickled.
        world: processes.
        threads: of each process.
        say: told what process 0 says.

    Returns:
        What process 0 returned.

    Raises:
        AitradeError: one of the workers met it; the same here.
        WorkerKilled: one was ended from outside.
        WorkerFailed: one met a bug; its traceback is the cause.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="aitrade-group-") as folder:
        meeting = Path(folder) / "meeting"
        workers: list[tuple[SpawnProcess, Connection]] = []
        try:
            for rank in range(world):
                ours, theirs = context.Pipe()
                seat = Seat(rank, world, rank, meeting)
                process = context.Process(
                    target=live, args=(theirs, seat, threads, work, tuple(arguments))
                )
                process.start()
                theirs.close()
                workers.append((process, ours))
            return attend(workers, say)
        finally:
            dismiss(workers)


def attend(workers: Sequence[tuple[SpawnProcess, Connection]], say: Callable[[str], None]) -> Any:  # noqa: ANN401 -- of the work
    """Pass on what process 0 says until all are done, or raise the reason of the first death."""
    result: Any = None
    running = dict(enumerate(workers))
    while running:
        ready = wait([pipe for _, pipe in running.values()], timeout=1.0)
        for rank, (process, pipe) in list(running.items()):
            if pipe not in ready:
                continue
            try:
                kind, value = pipe.recv()
            except (EOFError, OSError):
                kind, value = "gone", None
            match kind:
                case "say":
                    say(value)
                case "done":
                    result = pickle.loads(value) if rank == 0 else result
                    del running[rank]
                case _:
                    raise reason_of(running, ending_of(rank, process, kind, value))
    return result


def ending_of(rank: int, process: SpawnProcess, kind: str, value: Any) -> Ending:  # noqa: ANN401
    if kind == "failed":
        error, told = value
        return Ending(rank, pickle.loads(error) if error else None, told)
    process.join(SECONDS_TO_LEAVE)
    return Ending(rank, code=process.exitcode)


def reason_of(
    running: dict[int, tuple[SpawnProcess, Connection]], first: Ending
) -> AitradeError | WorkerFailed:
    """The death that came first, which is not always the one heard of first."""
    endings, until = [first], time.monotonic() + SECONDS_FOR_REASONS
    others = {rank: pair for rank, pair in running.items() if rank != first.rank}
    while first.only_followed and others and (left := until - time.monotonic()) > 0:
        ready = wait([pipe for _, pipe in others.values()], timeout=left)
        for rank, (process, pipe) in list(others.items()):
            if pipe in ready:
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    kind, value = "gone", None
                if kind in {"failed", "gone"}:
                    endings.append(ending_of(rank, process, kind, value))
                if kind != "say":
                    del others[rank]
    culprit = next((ending for ending in endings if not ending.only_followed), first)
    return told(culprit, len(running))


def told(ending: Ending, world: int) -> AitradeError | WorkerFailed:
    if ending.error is not None:
        return ending.error
    which = f"process {ending.rank} of {world}"
    if ending.told:
        last = ending.told.strip().splitlines()[-1]
        failed = WorkerFailed(f"{which} failed: {last}")
        failed.__cause__ = TracebackOf(ending.told)
        return failed
    code = ending.code
    if code is not None and code < 0:
        return WorkerKilled(f"{which} was ended by {signal.Signals(-code).name}")
    return WorkerKilled(f"{which} ended without a word, with exit code {code}")


def dismiss(workers: Sequence[tuple[SpawnProcess, Connection]]) -> None:
    """End those that still run: they would wait for the dead one."""
    for process, _ in workers:
        if process.is_alive():
            process.terminate()
    until = time.monotonic() + SECONDS_TO_LEAVE
    for process, pipe in workers:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()
        process.close()
