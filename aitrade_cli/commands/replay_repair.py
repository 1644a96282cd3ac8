"""`aitrade replay repair`"""

from __future__ import annotations

from aitrade_cli.commands.options import Json
from aitrade_cli.commands.replay_options import Store
from aitrade_cli.pipeline import emit


def replay_repair(store: Store, as_json: Json = False) -> None:
    """Saves every row whose own checksum is right and says which are lost; the others keep their
    numbers. Segments are replaced one by one, each in one step, so a repair that is killed can
    be run again. A store without damage is left as it is.
    """
    from pathlib import Path

    from aitrade_cli.replay.disk.repairing import repair

    emit(repair(Path(store)), command="replay repair", as_json=as_json)
