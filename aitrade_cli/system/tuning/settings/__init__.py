"""Every setting that is ever looked at: one table, in the order of its rows."""

from __future__ import annotations

from typing import Final

from aitrade_cli.system.tuning.settings import (
    accelerators,
    allocator,
    leftovers,
    memory,
    network,
    processor,
    storage,
    threads,
)
from aitrade_cli.system.tuning.settings.kinds import Setting

SETTINGS: Final[tuple[Setting, ...]] = tuple(
    sorted(
        (
            *threads.SETTINGS,
            *allocator.SETTINGS,
            *accelerators.SETTINGS,
            *processor.SETTINGS,
            *memory.SETTINGS,
            *storage.SETTINGS,
            *network.SETTINGS,
            *leftovers.SETTINGS,
        ),
        key=lambda setting: setting.row,
    )
)
