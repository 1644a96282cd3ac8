"""What a long command is doing now, on stderr and never in the way."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from aitrade_cli.report.plain import one_line

Say = Callable[[str], None]


@contextmanager
def progress(command: str, *, as_json: bool) -> Iterator[Say]:
    """Hand out a function that shows one line of progress.

    On a terminal the line is rewritten in place and wiped at the end, but for a text that ends
    with a newline: that one stays, and what a child prints stands below it. In a log each
    line stays; with ``--json`` each is one NDJSON object of kind ``progress``.
    """
    if as_json:
        yield lambda text: say_json(command, text)
    elif sys.stderr.isatty():
        try:
            yield say_in_place
        finally:
            wipe()
    else:
        yield lambda text: print_line(f"{command}: {text}")


def say_json(command: str, text: str) -> None:
    from aitrade_cli.report.ndjson import write

    write(sys.stderr, command, "progress", {"text": text.rstrip("\n")})


def say_in_place(text: str) -> None:
    columns = shutil.get_terminal_size().columns
    end = "\n" if text.endswith("\n") else ""
    sys.stderr.write(f"\r\x1b[2K{one_line(text.rstrip())[: columns - 1]}{end}")
    sys.stderr.flush()


def wipe() -> None:
    sys.stderr.write("\r\x1b[2K")
    sys.stderr.flush()


def print_line(text: str) -> None:
    sys.stderr.write(one_line(text.rstrip()) + "\n")
    sys.stderr.flush()
