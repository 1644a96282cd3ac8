"""`aitrade replay export`"""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import Force, Json, option
from aitrade_cli.commands.replay_options import Memory, Store
from aitrade_cli.pipeline import emit, output_name, progress
from aitrade_cli.pipeline.streams import STDIO


def replay_export(
    store: Store,
    output: Annotated[
        str | None,
        option("--output", "-o", metavar="FILE", help=".parquet or .npz; STORE.parquet without it"),
    ] = None,
    memory: Memory = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Every live transition, oldest first, with its `next_obs`; fields keep their names, and
    further axes become lists of a fixed length in Parquet. `env`, `episode` and `step` say where
    each belongs: what is exported can be imported, environments and episodes included.
    .npz is put together in memory.
    """
    from pathlib import Path

    from aitrade_cli.errors import Usage
    from aitrade_cli.pipeline.streams import naming
    from aitrade_cli.replay.interchange.exporting import check_ending, export
    from aitrade_cli.replay.sizes import parse_bytes
    from aitrade_cli.replay.store import ReplayStore

    if output == STDIO:
        raise Usage("an export goes to a file", hint="`-o all.parquet`")
    limit = None if memory is None else parse_bytes(memory, "--memory")
    target = output_name(Path(store).name, output, ".parquet", force=force)
    check_ending(target)
    with (
        ReplayStore(Path(store), memory=limit, mode="r") as opened,
        progress("replay export", as_json=as_json) as say,
        naming(target),
    ):
        report = export(opened, target, say)
    emit(report, command="replay export", as_json=as_json, artefact=target)
