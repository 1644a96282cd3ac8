"""Keep what a sampler knows beside the rows, and give it back."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.files import replace
from aitrade_cli.replay.interfaces import Sampler
from aitrade_cli.replay.ring import Ring

NAME: Final = "sampler.npz"
TOTAL: Final = "__total__"
SAMPLER: Final = "__sampler__"


def keep(folder: Path, sampler: Sampler, total: int) -> None:
    """Write the sampler's state in one step. A sampler without one leaves no file."""
    state = dict(sampler.state())
    if not state:
        return
    buffer = io.BytesIO()
    name = np.frombuffer(sampler.name.encode(), np.uint8)
    np.savez(buffer, **state, **{TOTAL: np.array(total), SAMPLER: name})
    replace(folder / NAME, buffer.getvalue())


def read_state(folder: Path) -> dict[str, np.ndarray] | None:
    """What was kept; None where there is nothing or it is damaged."""
    try:
        data = io.BytesIO((folder / NAME).read_bytes())
        with np.load(data, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile):
        return None


def restore(folder: Path, sampler: Sampler, ring: Ring) -> None:
    """Give a sampler its state back, and tell it of every row that came since."""
    state = read_state(folder) or {}
    total = int(state.pop(TOTAL, np.array(-1)))
    name = bytes(state.pop(SAMPLER, np.zeros(0, np.uint8))).decode(errors="replace")
    if name == sampler.name and 0 <= total <= ring.total:
        sampler.restore(state)
        since = max(total, ring.first)
    else:
        since = ring.first
    if ring.total > since:
        sampler.added(since, ring.total - since)
