"""`aitrade replay compact`"""

from __future__ import annotations

from aitrade_cli.commands.options import Json
from aitrade_cli.commands.replay_options import CodecOrAuto, Store
from aitrade_cli.pipeline import emit


def replay_compact(store: Store, codec: CodecOrAuto = None, as_json: Json = False) -> None:
    """Evicted rows go, many small blocks become few full ones, and `--codec` packs them anew:
    `auto` tries every codec on the store's own rows. Indices and priorities stay valid. Does
    nothing to a store that is damaged, and nothing where nothing would be gained.
    """
    from pathlib import Path

    from aitrade_cli.replay.disk.compacting import compact_as

    emit(compact_as(Path(store), codec), command="replay compact", as_json=as_json)
