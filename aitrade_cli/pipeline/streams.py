"""`-` is stdin as an argument and stdout as `-o`. Nothing else is."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aitrade_cli.errors import BadInput, NothingArrived, ReaderLeft, Refused, WouldOverwrite
from aitrade_cli.files import replace

STDIO: Final = "-"
NAME_FROM_STDIN: Final = "model"


class CannotRead(BadInput):
    """The file is not there, is a folder, or may not be read."""


class CannotWrite(BadInput):
    """The output's folder is not there or may not be written, or the disk is full."""


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
        NothingArrived: stdin closed without a byte.
    """
    if source == STDIO:
        data = sys.stdin.buffer.read()
        if not data:
            raise NothingArrived
        return Incoming(data, STDIO, None)
    path = Path(source)
    try:
        return Incoming(path.read_bytes(), path.name, path.resolve().parent)
    except OSError as error:
        raise CannotRead(f"cannot read `{source}`: {error.strerror}") from error


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
    if target.is_dir() or not target.parent.is_dir():
        raise CannotWrite(f"cannot write `{target}`: not a file in an existing folder")
    if target.exists() and not force:
        raise WouldOverwrite(str(target))
    return str(target)


def write_output(target: str, data: bytes, *, force: bool = False) -> None:
    """Write to stdout where ``target`` is ``-``, else to a file, all of it or nothing.

    Raises:
        ReaderLeft: the next command of the pipe closed early.
        WouldOverwrite: the file appeared meanwhile.
        CannotWrite: the disk is full or the folder may not be written.
    """
    if target == STDIO:
        write_stdout(data)
        return
    path = Path(target)
    if path.exists() and not force:
        raise WouldOverwrite(target)
    try:
        replace(path, data)
    except OSError as error:
        raise CannotWrite(f"cannot write `{target}`: {error.strerror}") from error


def write_stdout(data: bytes) -> None:
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        leave_quietly()


def leave_quietly() -> None:
    """End as the shell expects when nobody reads; Python's own last flush must not complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise ReaderLeft from None
