"""What a run keeps and what it goes on from, whichever command trains it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aitrade_cli.lock import Lock
from aitrade_cli.training.checkpoints.folder import CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import USUAL, Keeper, Policy
from aitrade_cli.training.state import State


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a run's checkpoints go.

    Attributes:
        key: plain data that two runs must share to be one: settings, bars, the model that is
            learned from where there is one.
        policy: when they are written.
        resume: go on from the newest whole one.
    """

    folder: CheckpointFolder
    key: Mapping[str, Any]
    policy: Policy = USUAL
    resume: bool = False

    def taken_up(
        self, say: Callable[[str], None], lock: Lock | None = None
    ) -> tuple[State | None, Keeper]:
        """The state to go on from, None to begin anew; and who writes the next ones.

        Args:
            say: told what the user should know.
            lock: of the folder, which the caller holds.

        Raises:
            OtherRun: settings or bars were changed.
            NothingWhole, OnlyWeights: no run can go on from what is there.
        """
        found = self.folder.newest_whole(self.key) if self.resume else None
        damaged = [path for path, _ in found.passed_over] if found else []
        for path in damaged:
            say(f"`{path}` is damaged; set aside as `{path.name}.damaged`")
        if found is not None:
            say(f"going on after step {found.step:,}")
        elif self.resume:
            say("no checkpoint yet: starting anew")
        keeper = Keeper(self.folder, self.key, self.policy, say, damaged, lock)
        return None if found is None else State.from_dict(found.state), keeper
