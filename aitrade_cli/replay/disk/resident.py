"""How much of a store on disk is held in memory."""

from __future__ import annotations

from typing import Final

import psutil

from aitrade_cli.errors import Usage
from aitrade_cli.replay.disk.manifest import Manifest

FEWEST_RESIDENT: Final = 256
MEMORY_SHARE: Final = 0.5  # of what is free, where nobody said how much


def resident_rows(made: Manifest, memory: int | None) -> int:
    """How many records fit into the memory that may be used.

    Raises:
        Usage: not even a few do.
    """
    if memory is None:
        memory = int(psutil.virtual_memory().available * MEMORY_SHARE)
    rows = memory // made.schema.record_bytes
    fewest = min(made.capacity, FEWEST_RESIDENT)
    if rows < fewest:
        raise Usage(
            f"{memory:,} bytes hold {rows} records of {made.schema.record_bytes}",
            hint=f"give `--memory` {fewest * made.schema.record_bytes} or more",
        )
    return min(rows, made.capacity)
