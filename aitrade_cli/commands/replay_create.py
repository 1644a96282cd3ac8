"""`aitrade replay create`"""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import Json, option
from aitrade_cli.commands.replay_options import Capacity, CodecName, Store
from aitrade_cli.pipeline import emit


def replay_create(
    store: Store,
    obs: Annotated[
        list[str],
        option("--obs", metavar="SHAPE:DTYPE", help="`64:float32`; parts as `position=3:float32`"),
    ],
    act: Annotated[str, option("--act", metavar="SHAPE:DTYPE", help="The action: `1:int64`")],
    field: Annotated[
        list[str] | None,
        option("--field", metavar="NAME=SHAPE:DTYPE", help="One more: `log_prob=:float32`"),
    ] = None,
    capacity: Capacity = "1M",
    codec: CodecName = None,
    as_json: Json = False,
) -> None:
    """A reward in float32, the ends of episodes and their numbers come by themselves. The next
    state is not stored: it is rebuilt from the row that follows, so the last state of each
    episode takes a row too.
    """
    from pathlib import Path

    from aitrade_cli.replay.disk.creating import codec_for, create, fields_of
    from aitrade_cli.replay.sizes import parse_count

    rows = parse_count(capacity, "--capacity")
    schema = fields_of(obs, act, field or [])
    report = create(Path(store), schema, rows, codec_for(codec))
    emit(report, command="replay create", as_json=as_json)
