"""Which stream a report takes, and in which form."""

from __future__ import annotations

import sys
from typing import Any

from aitrade_cli.pipeline.streams import STDIO, telling_of_stdout
from aitrade_cli.report.blocks import view
from aitrade_cli.report.ndjson import Kind, write


def emit(
    report: Any,  # noqa: ANN401 -- any dataclass with a registered view
    *,
    command: str,
    as_json: bool,
    artefact: str | None = None,
    kind: Kind = "report",
) -> None:
    """Show a report on stdout, or on stderr where the artefact itself takes stdout.

    Raises:
        ReaderLeft: the program that read the report has gone.
        CannotWrite: the disk that stdout is redirected to is full.
    """
    stream = sys.stderr if artefact == STDIO else sys.stdout
    with telling_of_stdout():
        if as_json:
            write(stream, command, kind, report)
        else:
            from aitrade_cli.report.draw import draw

            draw(view(report), stream)
        stream.flush()
