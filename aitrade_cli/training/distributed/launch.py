"""Workers on this machine: started together, and when one dies all end, with its reason."""

from __future__ import annotations

import multiprocessing
import pickle
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from aitrade_cli.errors import AitradeError, Missing
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.distributed.worker import live

Result = TypeVar("Result")
Worker: TypeAlias = tuple[SpawnProcess, Connection]
SECONDS_FOR_REASONS: Final = 2.0  # others notice a death too, and may be heard first
SECONDS_TO_LEAVE: Final = 5.0
# How an exchange ends when the other side has died.
FOLLOWED: Final = ("Connection closed by peer", "Connection reset by peer", "gloo", "NCCL")


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
        workers: list[Worker] = []
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


def attend(workers: Sequence[Worker], say: Callable[[str], None]) -> Any:  # noqa: ANN401 -- of the work
    """Pass on what process 0 says until all are done, or raise the reason of the first death."""
    result: Any = None
    running = dict(enumerate(workers))
    while running:
        for rank, (kind, value) in heard(running, seconds=1.0):
            match kind:
                case "say":
                    say(value)
                case "done":
                    result = pickle.loads(value) if rank == 0 else result
                    del running[rank]
                case _:
                    first = ending_of(rank, running.pop(rank)[0], value)
                    raise told(culprit_of(first, running), len(workers))
    return result


def heard(running: Mapping[int, Worker], seconds: float) -> list[tuple[int, tuple[str, Any]]]:
    """One message of each worker that has one, by rank; ``gone`` is the last of a dead one."""
    ready = wait([pipe for _, pipe in running.values()], timeout=seconds)
    return [(rank, message_of(pipe)) for rank, (_, pipe) in running.items() if pipe in ready]


def message_of(pipe: Connection) -> tuple[str, Any]:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return "gone", None


def ending_of(rank: int, process: SpawnProcess, value: tuple[bytes, str] | None) -> Ending:
    if value is not None:
        error, text = value
        return Ending(rank, pickle.loads(error) if error else None, text)
    process.join(SECONDS_TO_LEAVE)
    return Ending(rank, code=process.exitcode)


def culprit_of(first: Ending, running: dict[int, Worker]) -> Ending:
    """The death that came first, which is not always the one heard of first."""
    until = time.monotonic() + SECONDS_FOR_REASONS
    ending = first
    while ending.only_followed and running and (left := until - time.monotonic()) > 0:
        for rank, (kind, value) in heard(running, seconds=left):
            if kind in {"failed", "gone"}:
                ending = ending_of(rank, running[rank][0], value)
            if kind != "say":
                del running[rank]
    return first if ending.only_followed else ending


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


def dismiss(workers: Sequence[Worker]) -> None:
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
