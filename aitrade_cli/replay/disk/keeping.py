"""Keep what a sampler knows beside the rows, and give it back."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from aitrade_cli.errors import Refused
from aitrade_cli.files import replace
from aitrade_cli.replay.interfaces import Sampler
from aitrade_cli.replay.ring import Ring

NAME: Final = "sampler.npz"
TOTAL: Final = "__total__"
SAMPLER: Final = "__sampler__"


class OtherSampler(Refused):
    """The store keeps what another sampler knows, and would lose it."""

    default_hint = "open it with that sampler, or delete `sampler.npz` to begin anew"


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


def kept_of(folder: Path) -> str | None:
    """The name of the sampler whose state is kept."""
    return name_in(read_state(folder) or {})


def name_in(state: Mapping[str, np.ndarray]) -> str | None:
    name = state.get(SAMPLER)
    return None if name is None else bytes(name).decode(errors="replace")


def prioritized(folder: Path) -> Sampler:
    """A sampler for the priorities that are kept; proportional where none are.

    Raises:
        OtherSampler: they are of a kind that knows none.
    """
    from aitrade_cli.replay.sampling.priorities import Proportional
    from aitrade_cli.replay.sampling.ranked import RankBased

    name = kept_of(folder)
    made = {Proportional.name: Proportional, RankBased.name: RankBased}
    if name is not None and name not in made:
        raise OtherSampler(f"`{folder}` keeps the state of a sampler called `{name}`")
    return made[name or Proportional.name]()


def restore(folder: Path, sampler: Sampler, ring: Ring) -> None:
    """Give a sampler its state back, and tell it of every row that came since.

    A sampler that keeps no state leaves that of another as it is.

    Raises:
        OtherSampler: it would overwrite what another sampler keeps.
    """
    state = read_state(folder) or {}
    total = int(state.pop(TOTAL, np.array(-1)))
    name = name_in(state)
    state.pop(SAMPLER, None)
    if name not in (None, sampler.name) and sampler.state():
        raise OtherSampler(
            f"`{folder}` keeps the priorities of the sampler `{name}`, not of `{sampler.name}`"
        )
    if name == sampler.name and 0 <= total <= ring.total:
        sampler.restore(state)
        since = max(total, ring.first)
    else:
        since = ring.first
    if ring.total > since:
        sampler.added(since, ring.total - since)
