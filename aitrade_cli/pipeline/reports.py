"""Which stream a report takes, and in which form."""

from __future__ import annotations

import sys
from typing import Any

from aitrade_cli.pipeline.streams import STDIO, leave_quietly


def emit(
    report: Any,  # noqa: ANN401 -- any dataclass with a registered view
    *,
    command: str,
    as_json: bool,
    artefact: str | None = None,
    kind: str = "report",
) -> None:
    """Show a report on stdout, or on stderr where the artefact itself takes stdout.

    Raises:
        ReaderLeft: the program that read the report has gone.
    """
    stream = sys.stderr if artefact == STDIO else sys.stdout
    try:
        if as_json:
            from aitrade_cli.report.ndjson import write

            write(stream, command, kind, report)  # type: ignore[arg-type]
        else:
            from aitrade_cli.report.blocks import view
            from aitrade_cli.report.draw import draw

            draw(view(report), stream)
        stream.flush()
    except BrokenPipeError:
        leave_quietly()
