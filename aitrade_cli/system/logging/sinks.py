"""Where log lines go."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from aitrade_cli.errors import BadInput

CLOSED: Final = -1  # no descriptor


class LogUnwritable(BadInput):
    """The log's file cannot be opened."""


@runtime_checkable
class Sink(Protocol):
    """Takes lines. Called by one thread at a time."""

    def write(self, data: bytes) -> int:
        """How many bytes were taken, at least one; the rest is offered again.

        Raises:
            OSError: none was taken.
        """
        ...

    def close(self) -> None: ...


class FileSink:
    """Adds to a file. Several processes may: each line is written in one go, at the end.

    What comes after `close` opens the file anew for its own write: the old number may be
    another file's by then.

    Raises:
        LogUnwritable: the folder is not there, or may not be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = os.path.abspath(path)  # the working folder may change before `close`
        try:
            self._descriptor = self._opened()
        except OSError as error:
            raise LogUnwritable(f"cannot write `{path}`: {error.strerror}") from error

    def _opened(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def write(self, data: bytes) -> int:
        if self._descriptor != CLOSED:
            return os.write(self._descriptor, data)
        late = self._opened()
        try:
            return os.write(late, data)
        finally:
            os.close(late)

    def close(self) -> None:
        if self._descriptor != CLOSED:
            descriptor, self._descriptor = self._descriptor, CLOSED
            os.close(descriptor)


class StderrSink:
    """The stream that is `sys.stderr` at the time of writing."""

    def write(self, data: bytes) -> int:
        try:
            sys.stderr.write(data.decode())
            sys.stderr.flush()
        except ValueError as error:  # closed
            raise OSError(str(error)) from error
        return len(data)

    def close(self) -> None: ...
