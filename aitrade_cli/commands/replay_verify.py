"""`aitrade replay verify`"""

from __future__ import annotations

import typer

from aitrade_cli.commands.options import Json
from aitrade_cli.commands.replay_options import Store
from aitrade_cli.pipeline import emit


def replay_verify(store: Store, as_json: Json = False) -> None:
    """Reads every byte and changes none. Each damage is named with its file, its offset and the
    rows that it costs, and the exit code is 1. What was written and never acknowledged, as a
    killed writer leaves it, is named too and is no damage.
    """
    from pathlib import Path

    from aitrade_cli.replay.disk.verifying import verify

    report = verify(Path(store))
    emit(report, command="replay verify", as_json=as_json)
    if not report.passed:
        raise typer.Exit(1)
