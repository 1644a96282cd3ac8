"""Worker processes, each at the end of a pipe of its own."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Final, NamedTuple

import numpy as np

from aitrade_cli.errors import Missing
from aitrade_cli.system.host import usable_cores
from aitrade_cli.system.parallel.segment import Layout, views

SECONDS_TO_LEAVE: Final = 2.0
ONE_THREAD: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class WorkerLost(Missing):
    """A worker process ended in the middle of its work."""

    default_hint = (
        "out of memory? use fewer workers; in a script of your own, call it below"
        ' `if __name__ == "__main__":`'
    )


class WorkerTraceback(Exception):
    """Where it happened in the worker: the cause of the error that is raised here."""

    def __str__(self) -> str:
        return f"in a worker process:\n{self.args[0]}"


Function = Callable[[Any, Mapping[str, np.ndarray]], Any]
Chunk = tuple[int, Sequence[Any]]  # position of the first item, and the items


def context_for(module: str) -> BaseContext:
    """A server that forks clean processes where there is one: the second call starts in no time.

    Never a fork of this process: threads of torch or OpenMP would be missing in the child, and
    it would wait for them for ever.
    """
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["__main__", module])
        return context
    return multiprocessing.get_context("spawn")


class Workers:
    """Processes that apply one function. The end of the ``with`` ends them, whatever happened.

    ^C reaches this process alone; they end when their pipe does, so none outlives it.
    """

    def __init__(self, count: int, function: Function, layout: Layout) -> None:
        context = context_for(function.__module__)
        self._ends: dict[Connection, BaseProcess] = {}
        with one_thread_each():
            for _ in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(  # pyright: ignore[reportAttributeAccessIssue]
                    target=serve, args=(theirs, function, layout), daemon=True
                )
                process.start()
                theirs.close()
                self._ends[ours] = process

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for end, process in self._ends.items():
            end.close()
            if kind is not None:
                process.terminate()
        for process in self._ends.values():
            process.join(SECONDS_TO_LEAVE)
            if process.is_alive():
                process.kill()
                process.join()

    def ready(self) -> None:
        """Wait until all have started.

        Raises:
            WorkerLost: one did not.
        """
        for end in self._ends:
            self._answer(end)

    def apply(self, chunks: Sequence[Chunk]) -> Iterator[tuple[int, list[Any]]]:
        """Results of each chunk with the position of its first item, as they come.

        Raises:
            WorkerLost: a process was killed.
            Exception: what the function raised on the earliest item, as it would here, with the
                worker's traceback as its cause.
        """
        waiting = list(reversed(chunks))
        busy: dict[Connection, int] = {}
        failed: tuple[int, Exception] | None = None
        idle = list(self._ends)
        while busy or (waiting and failed is None):
            while waiting and idle and failed is None:
                chunk, end = waiting.pop(), idle.pop()
                end.send(chunk)
                busy[end] = chunk[0]
            for end in wait(list(busy)):
                assert isinstance(end, Connection)  # that is what we wait for
                first, results = self._answer(end)
                del busy[end]
                idle.append(end)
                if not isinstance(results, Exception):
                    yield first, results
                elif failed is None or first < failed[0]:
                    failed = first, results
            if failed is not None and all(first > failed[0] for first in busy.values()):
                raise failed[1]

    def _answer(self, end: Connection) -> tuple[int, Any]:
        """The position of a chunk, and its results or what was raised."""
        try:
            first, answer = end.recv()
        except (EOFError, ConnectionResetError):
            process = self._ends[end]
            process.join(SECONDS_TO_LEAVE)
            raise WorkerLost(f"a worker process ended with code {process.exitcode}") from None
        return first, rebuilt(answer) if isinstance(answer, TakenApart) else answer


@contextmanager
def one_thread_each() -> Iterator[None]:
    """Pools of libraries in the workers would fight for the cores that the workers have."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def serve(end: Connection, function: Function, layout: Layout) -> None:
    """A worker: apply the function to what comes until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=leave_with_parent, daemon=True).start()
    memory = SharedMemory(layout.segment) if layout.segment is not None else None
    arrays = views(memory, layout.places) if memory is not None else {}
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):  # the parent has closed
        end.send((-1, None))
        while True:
            first, items = end.recv()
            try:
                answer: Any = [function(item, arrays) for item in items]
            except Exception as error:  # whatever it is, the caller must see it
                answer = taken_apart(error)
            end.send((first, answer))
    arrays.clear()
    if memory is not None:
        with suppress(BufferError):
            memory.close()


def leave_with_parent() -> None:
    """End at once when the parent is killed, in the middle of whatever is being done."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class TakenApart(NamedTuple):
    """An exception as data: many cannot be pickled, for they are made from other words."""

    kind: type[Exception]
    args: tuple[Any, ...]
    said: Mapping[str, Any]
    traceback: str


def taken_apart(error: Exception) -> TakenApart:
    text = "".join(traceback.format_exception(error))
    parts = TakenApart(type(error), error.args, dict(vars(error)), text)
    try:
        pickle.loads(pickle.dumps(parts))  # our own bytes
    except Exception:  # its class or an argument lives nowhere
        return TakenApart(RuntimeError, (f"{type(error).__name__}: {error}",), {}, text)
    return parts


def rebuilt(parts: TakenApart) -> Exception:
    """The worker's exception, with its traceback for a cause."""
    error = parts.kind.__new__(parts.kind)
    error.args = parts.args
    vars(error).update(parts.said)
    error.__cause__ = WorkerTraceback(parts.traceback)
    return error


def default_workers() -> int:
    """One for each core that this process may use."""
    return len(usable_cores())
