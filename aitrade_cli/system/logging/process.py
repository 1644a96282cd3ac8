"""The log of this process: one writer, set up from the program's options or the environment."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Final

from aitrade_cli.errors import Usage
from aitrade_cli.system.logging.records import FORMATS, LEVELS, Format, Level
from aitrade_cli.system.logging.sinks import Sink, StderrSink
from aitrade_cli.system.logging.writer import LogCounts, LogWriter

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

FORMAT_VARIABLE: Final = "AITRADE_LOG_FORMAT"
LEVEL_VARIABLE: Final = "AITRADE_LOG_LEVEL"
DEFAULT_LEVEL: Final[Level] = "warning"  # reports and errors have streams of their own

_lock = threading.Lock()
_writers: list[LogWriter] = []  # at most one


def configure(
    *,
    sink: Sink | None = None,
    format: Format | None = None,  # noqa: A002 -- the word that the option has
    level: Level | None = None,
) -> LogWriter:
    """Set up this process's log; an earlier one is written out and closed.

    Loggers from before go on writing, each record in its call: ask for new ones.

    Args:
        sink: where lines go; stderr where not given.
        format: ``text`` or ``json``; else ``AITRADE_LOG_FORMAT``, else text.
        level: the least serious that is kept; else ``AITRADE_LOG_LEVEL``, else warning.

    Raises:
        Usage: no such format or level.
    """
    with _lock:
        made = made_writer(sink, format, level)
        while _writers:
            _writers.pop().close()
        _writers.append(made)
    return made


def made_writer(sink: Sink | None, form: Format | None, level: Level | None) -> LogWriter:
    chosen = form or os.environ.get(FORMAT_VARIABLE) or "text"
    least = level or os.environ.get(LEVEL_VARIABLE) or DEFAULT_LEVEL
    for kind in FORMATS:
        for name in LEVELS:
            if (kind, name) == (chosen, least):
                return LogWriter(sink or StderrSink(), format=kind, level=name)
    raise Usage(
        f"no log has format `{chosen}` and level `{least}`",
        hint=f"formats: {', '.join(FORMATS)}; levels: {', '.join(LEVELS)}",
    )


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger of this process's log; `configure` is called where nobody did.

    Args:
        name: the part of the program that speaks, such as ``train``.
    """
    with _lock:
        if not _writers:
            _writers.append(made_writer(None, None, None))
        writer = _writers[0]
    return writer.logger(name)


def close() -> LogCounts | None:
    """Write out and end this process's log; what became of its records, or None without one."""
    with _lock:
        return _writers.pop().close() if _writers else None
