"""`aitrade replay info`"""

from __future__ import annotations

from aitrade_cli.commands.options import Json
from aitrade_cli.commands.replay_options import Store
from aitrade_cli.pipeline import emit


def replay_info(store: Store, as_json: Json = False) -> None:
    """Reads headers and columns only, beside a writer too. It does not prove the records:
    `aitrade replay verify` does.
    """
    from pathlib import Path

    from aitrade_cli.replay.about import about

    emit(about(Path(store)), command="replay info", as_json=as_json)
