"""`aitrade replay import`"""

from __future__ import annotations

from typing import Annotated

import typer

from aitrade_cli.commands.options import Json
from aitrade_cli.commands.replay_options import Capacity, CodecName, Store
from aitrade_cli.pipeline import STDIO, emit, progress


def replay_import(
    store: Store,
    source: Annotated[
        str,
        typer.Argument(metavar="FILE", help=".npz, .parquet, .hdf5, or `-` for NDJSON on stdin"),
    ],
    capacity: Capacity = "1M",
    codec: CodecName = None,
    as_json: Json = False,
) -> None:
    """Rows are taken in the order of the file as the steps of one environment, or of as many as
    `env` names. An episode ends where `terminated`, `done` or `truncated` says so, where
    `episode` changes, or where `next_obs` is not the next row's `obs`. The names of D4RL and
    Minari are understood. A line of NDJSON is an object with `obs`, `act`, `reward`, `done`,
    `next_obs` and optionally `truncated`. Where there is no store yet, one is made with the
    fields of the file; `--capacity` and `--codec` are for that. A reward that is no finite
    number is refused.
    """
    import sys
    from pathlib import Path

    from aitrade_cli.pipeline.streams import StdinIsTerminal
    from aitrade_cli.replay.disk.creating import codec_for
    from aitrade_cli.replay.interchange.importing import import_into
    from aitrade_cli.replay.sizes import parse_count

    rows = parse_count(capacity, "--capacity")
    if source == STDIO and sys.stdin.isatty():
        raise StdinIsTerminal
    lines = sys.stdin if source == STDIO else None
    with progress("replay import", as_json=as_json) as say:
        report = import_into(
            Path(store), source, lines, capacity=rows, codec=codec_for(codec), say=say
        )
    emit(report, command="replay import", as_json=as_json)
