"""Arguments and options that the commands of the replay store share."""

from __future__ import annotations

from typing import Annotated

import typer

from aitrade_cli.commands.options import option

Store = Annotated[str, typer.Argument(metavar="STORE", help="Folder of the store")]
Capacity = Annotated[
    str,
    option("--capacity", metavar="ROWS", help="Rows that are kept, the newest: `5M`, `100k`"),
]
CodecName = Annotated[
    str | None,
    option("--codec", metavar="NAME", help="How blocks are packed: raw, lz4, zstd, patch"),
]
CodecOrAuto = Annotated[
    str | None,
    option("--codec", metavar="NAME", help="How blocks are packed: raw, lz4, zstd, patch, auto"),
]
Memory = Annotated[
    str | None,
    option(
        "--memory",
        metavar="BYTES",
        help="For records, `2G`; the rest is read from disk. Half of what is free without it",
    ),
]
