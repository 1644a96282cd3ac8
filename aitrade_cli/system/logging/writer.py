"""The queue between those who log and the one thread that writes."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.logging.ending import at_exit, tell_of_loss
from aitrade_cli.system.logging.records import (
    LEVELS,
    PLAIN,
    Format,
    Level,
    Record,
    exception_of,
    frozen,
    json_line,
    text_line,
)
from aitrade_cli.system.logging.sinks import Sink

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

QUEUE_RECORDS: Final = 10_000  # some megabytes; a burst longer than that is counted, not kept
PAUSE_SECONDS: Final = 0.1  # records wait this long at most, and are written together
BATCH_RECORDS: Final = 500  # rendered between two writes
URGENT: Final = frozenset(("error", "critical"))


@dataclass(frozen=True, slots=True)
class LogCounts:
    """What became of the records of one writer, in this process.

    Attributes:
        written: lines that the sink took.
        dropped: records that came while the queue was full.
        lost: records that were still unwritten when the writer closed, or refused after it.
        waiting: records in the queue now.
        failures: writes that the sink refused; tried again until closed.
        last_failure: the system's words for the last of them.
    """

    written: int
    dropped: int
    lost: int
    waiting: int
    failures: int
    last_failure: str | None


class LogWriter:
    """A bounded queue and one thread behind it. Nothing starts before the first record.

    A call appends to the queue and returns. When the queue is full the new record is dropped
    and counted, and the next line that gets through says how many were. A sink that fails is
    tried again; meanwhile the queue fills. After a fork the child has an empty queue and a
    thread of its own; what the parent queued the parent writes.

    Args:
        sink: where lines go; closed with the writer.
        format: ``text`` or ``json``.
        level: the least serious that is kept; calls below it cost a tenth of a microsecond.
        limit: records in the queue, >= 1. Threads that log at once may exceed it by one each.
        pause_s: seconds that a record may wait for others, >= 0.
        synchronous: write in the call itself, as others do; to compare with.

    Raises:
        Usage: a level or format that there is not, or a limit below 1.
    """

    def __init__(
        self,
        sink: Sink,
        *,
        format: Format = "text",  # noqa: A002 -- the word that the option has
        level: Level = "info",
        limit: int = QUEUE_RECORDS,
        pause_s: float = PAUSE_SECONDS,
        synchronous: bool = False,
    ) -> None:
        if level not in LEVELS or format not in {"text", "json"} or limit < 1:
            raise Usage(f"no log of format `{format}`, level `{level}` and limit `{limit}`")
        self._sink = sink
        self._render: Callable[[Record], str] = json_line if format == "json" else text_line
        self._level = level
        self._limit = limit
        self._pause_s = pause_s
        self._synchronous = synchronous
        self._closed = False
        self._begin()
        start_anew_after_fork(self)

    def _begin(self) -> None:
        self._queue: deque[Record] = deque()
        self._lock = threading.Lock()  # of the sink and of the counts
        self._starting = threading.Lock()
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._asleep = True
        self._unwritten, self._records_in_it = b"", 0
        self._written = self._dropped = self._told = self._lost = self._failures = 0
        self._last_failure: str | None = None

    def logger(self, name: str) -> FilteringBoundLogger:
        """A logger with `debug`, `info`, …, `exception` and `bind`, as structlog has them."""
        import structlog

        wanted = structlog.make_filtering_bound_logger(self._level)
        taker = Taker(self, name)
        lazy = structlog.wrap_logger(taker, processors=[taker.record_of], wrapper_class=wanted)
        return lazy.bind()  # what is lazy looks its methods up anew in every call

    def put(self, record: Record) -> None:
        """Queue one record, or count it where the queue is full. Never waits for the sink."""
        if self._synchronous or self._closed:
            self._put_now(record)
            return
        if len(self._queue) >= self._limit:
            with self._lock:
                self._dropped += 1
            return
        self._queue.append(record)
        # The thread says that it sleeps before it looks at the queue a last time, so either it
        # sees this record or this line sees it asleep.
        if self._asleep:
            self._rouse()
        if record.level in URGENT:
            self._hurry.set()

    def _put_now(self, record: Record) -> None:
        """Write in the call; what is refused waits for the next one, and after the end is lost."""
        with self._lock:
            if self._records_in_it >= self._limit:
                self._dropped += 1
            elif not self._write([record]) and self._closed:
                self._lose()

    def _rouse(self) -> None:
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._serve, name="log", daemon=True)
                    at_exit(self.close)
                    thread.start()
                    self._thread = thread
        self._wake.set()

    def _serve(self) -> None:
        while not self._closed:
            self._asleep = True
            if not self._queue and not self._unwritten:
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
            self._hurry.wait(self._pause_s)
            self._hurry.clear()
            with self._lock:
                self._drain()

    def _drain(self) -> None:
        """Write until the queue is empty or the sink refuses."""
        while self._queue or self._unwritten or self._dropped > self._told:
            many = 0 if self._unwritten else min(len(self._queue), BATCH_RECORDS)
            if not self._write([self._queue.popleft() for _ in range(many)]):
                return

    def _write(self, records: list[Record]) -> bool:
        """Hand lines to the sink; what it does not take is kept and offered first."""
        lines = [self._line(record) for record in records]
        if not self._unwritten and self._dropped > self._told:
            lines.append(self._line(self._confession()))
            self._told = self._dropped
        self._unwritten += "".join(lines).encode("utf-8", errors="backslashreplace")
        self._records_in_it += len(lines)
        while self._unwritten:
            try:
                taken = self._sink.write(self._unwritten)
            except OSError as error:
                self._failures += 1
                self._last_failure = error.strerror or str(error)
                return False
            self._unwritten = self._unwritten[taken:]
        self._written += self._records_in_it
        self._records_in_it = 0
        return True

    def _line(self, record: Record) -> str:
        try:
            return self._render(record)
        except Exception as error:  # one odd value must not end the thread that writes all
            said = {"could_not_render": type(error).__name__}
            return self._render(Record(record.time_ns, record.level, record.logger, "?", said))

    def _confession(self) -> Record:
        said = {"dropped": self._dropped - self._told, "limit": self._limit}
        return Record(time.time_ns(), "warning", "log", "records dropped, the queue was full", said)

    def flush(self) -> bool:
        """Write what is queued now; True where the sink took everything."""
        with self._lock:
            self._drain()
            return not self._queue and not self._unwritten

    def close(self) -> LogCounts:
        """Write what is queued, then stop; what the sink still refuses is counted as lost.

        Said on stderr where records were lost, so that it is never silent. Runs by itself when
        the program ends. A record that comes later is written in the call.
        """
        if not self._closed:
            self._closed = True
            self._wake.set()
            self._hurry.set()
            if self._thread is not None and self._thread is not threading.current_thread():
                self._thread.join()
            complete = self.flush()
            atexit.unregister(self.close)
            with self._lock:
                if not complete:
                    self._lose()
                self._sink.close()
        return self.counts()

    def _lose(self) -> None:
        """Count and tell what will never be written."""
        lost = len(self._queue) + self._records_in_it
        self._queue.clear()
        self._unwritten, self._records_in_it = b"", 0
        self._lost += lost
        tell_of_loss(lost, self._last_failure)

    def counts(self) -> LogCounts:
        """How many records were written, dropped, lost; see `LogCounts`."""
        return LogCounts(
            self._written,
            self._dropped,
            self._lost,
            len(self._queue),
            self._failures,
            self._last_failure,
        )


class Taker:
    """What stands where structlog expects a logger: its methods queue records."""

    def __init__(self, writer: LogWriter, name: str) -> None:
        self._name = name
        self.debug = self.info = self.warning = self.error = self.critical = writer.put

    def record_of(
        self,
        _: object,
        level: str,
        said: MutableMapping[str, Any],
    ) -> tuple[tuple[Record], dict[str, Any]]:
        """The last and only step of structlog's chain."""
        now = time.time_ns()
        event = said.pop("event")
        raised = error_of(said.pop("exc_info")) if "exc_info" in said else None
        for key, value in said.items():
            if type(value) not in PLAIN:
                said[key] = frozen(value)
        exception = () if raised is None else exception_of(raised)
        return (Record(now, level, self._name, str(event), said, exception),), {}


def error_of(given: Any) -> BaseException | None:  # noqa: ANN401 -- True, a tuple or an exception
    if isinstance(given, BaseException):
        return given
    found = given if isinstance(given, tuple) else sys.exc_info() if given else (None, None)
    return found[1]


def start_anew_after_fork(writer: LogWriter) -> None:
    """A child has no thread and must not write what its parent queued."""
    if not hasattr(os, "register_at_fork"):
        return
    known = weakref.ref(writer)  # a hook cannot be taken back, and must not keep the writer

    def begin() -> None:
        if (found := known()) is not None:
            found._begin()

    os.register_at_fork(after_in_child=begin)
