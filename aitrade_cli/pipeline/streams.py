"""`-` is stdin as an argument and stdout as `-o`. Nothing else is."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final

from aitrade_cli.errors import BadInput, NothingArrived, ReaderLeft, Refused, WouldOverwrite
from aitrade_cli.files import create, replace

STDIO: Final = "-"
NAME_FROM_STDIN: Final = "model"
PIECE_BYTES: Final = 16 * 1024**2


class CannotRead(BadInput):
    """The file is not there, is a folder, or may not be read."""


class CannotWrite(BadInput):
    """The output's folder is not there or may not be written, or the disk is full."""


class StdinIsTerminal(BadInput):
    """`-` was given and nothing is piped in: a person would wait for ever."""

    default_hint = "pipe a model in: `aitrade inspect - < model.pt`"

    def __init__(self) -> None:
        super().__init__("stdin is a terminal, not a model")


class BytesOnTerminal(Refused):
    """Model bytes would have gone to a screen."""

    default_hint = "add `-o FILE`, or pipe into the next command"

    def __init__(self) -> None:
        super().__init__("refusing to print model bytes on a terminal")


@dataclass(frozen=True, slots=True)
class Incoming:
    """Bytes as they arrived, and where from."""

    data: bytes
    name: str  # file name, or `-`
    folder: Path | None  # None from stdin: nothing beside it may be read


def read_input(source: str) -> Incoming:
    """Read a whole file, or stdin where ``source`` is ``-``.

    Raises:
        CannotRead: the file cannot be read.
        TooLarge: there is more of it than a model can be.
        NothingArrived: stdin closed without a byte.
        StdinIsTerminal: stdin is a terminal.
    """
    if source == STDIO:
        return Incoming(read_stdin(), STDIO, None)
    path = Path(source)
    try:
        data = read_file(path) if path.is_file() else read_device(path)
        return Incoming(data, path.name, path.resolve().parent)
    except OSError as error:
        raise CannotRead(f"cannot read `{source}`: {error.strerror}") from error


def read_file(path: Path) -> bytes:
    refuse_beyond_limit(path.stat().st_size, str(path))
    return path.read_bytes()


def read_device(path: Path) -> bytes:
    with path.open("rb") as file:
        return read_all(file, str(path))


def read_stdin() -> bytes:
    if sys.stdin.isatty():
        raise StdinIsTerminal
    try:
        data = read_all(sys.stdin.buffer, "stdin")
    except OSError as error:
        raise CannotRead(f"cannot read stdin: {error.strerror}") from error
    if not data:
        raise NothingArrived
    return data


def read_all(file: BinaryIO | BytesIO, source: str) -> bytes:
    """Read to the end, in pieces, so that `/dev/zero` ends before the memory does."""
    pieces, size = [], 0
    while piece := file.read(PIECE_BYTES):
        size += len(piece)
        refuse_beyond_limit(size, source)
        pieces.append(piece)
    return b"".join(pieces)


def refuse_beyond_limit(size: int, source: str) -> None:
    from aitrade_cli.model.loading.limits import TooLarge, limits_from_environment

    limit = limits_from_environment().file_bytes
    if size > limit:
        raise TooLarge(f"`{source}` holds more than {limit:,} bytes")


def output_name(source: str, output: str | None, suffix: str, *, force: bool) -> str:
    """Where the artefact will go, decided before the long work begins.

    Without ``output`` the name comes from the source's and lies in the current
    folder: ``fixtures/models/lstm.pt`` and ``.int8.onnx`` give ``lstm.int8.onnx``.

    Raises:
        WouldOverwrite: the file is there and ``force`` is not set.
        BytesOnTerminal: stdout was asked for and is a terminal.
        CannotWrite: the folder is not there.
    """
    if output == STDIO:
        if sys.stdout.isatty():
            raise BytesOnTerminal
        return STDIO
    stem = NAME_FROM_STDIN if source == STDIO else Path(source).stem
    target = Path(stem + suffix) if output is None else Path(output)
    with naming(str(target)):
        if kind_of(target) == "folder" or kind_of(target.parent) != "folder":
            raise CannotWrite(f"cannot write `{target}`: not a file in an existing folder")
        if kind_of(target) == "file" and not force:
            raise WouldOverwrite(str(target))
    return str(target)


def write_output(target: str, data: bytes, *, force: bool = False) -> None:
    """Write to stdout where ``target`` is ``-``, else to a file, all of it or nothing.

    A device or named pipe is written through, never replaced: `-o /dev/null` discards.

    Raises:
        ReaderLeft: the next command of the pipe closed early.
        WouldOverwrite: the file appeared meanwhile.
        CannotWrite: the disk is full or the folder may not be written.
    """
    if target == STDIO:
        write_stdout(data)
        return
    path = Path(target)
    with naming(target):
        if kind_of(path) == "device":
            path.write_bytes(data)
        elif force:
            replace(path, data)
        else:
            create(path, data)


@contextmanager
def naming(target: str) -> Iterator[None]:
    """Turn whatever the file system says into one line with the name in it."""
    try:
        yield
    except BrokenPipeError:
        raise ReaderLeft from None
    except FileExistsError:
        raise WouldOverwrite(target) from None
    except OSError as error:
        raise CannotWrite(f"cannot write `{target}`: {error.strerror}") from error


def kind_of(path: Path) -> str:
    """``file``, ``folder``, ``device`` (pipes and sockets too), or ``nothing``."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "file" if path.is_symlink() else "nothing"  # a link to nowhere takes a name too
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "device"


def write_stdout(data: bytes) -> None:
    with telling_of_stdout():
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


@contextmanager
def telling_of_stdout() -> Iterator[None]:
    """Turn a failed write to stdout or stderr into the failure that a shell expects.

    Raises:
        ReaderLeft: nobody reads any more.
        CannotWrite: the disk behind a redirection is full.
    """
    try:
        yield
    except BrokenPipeError:
        silence_stdout()
        raise ReaderLeft from None
    except OSError as error:
        silence_stdout()
        raise CannotWrite(f"cannot write to stdout: {error.strerror}") from error


def silence_stdout() -> None:
    # What is still in Python's buffer would fail once more at the interpreter's end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
