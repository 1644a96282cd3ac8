"""The checkpoints of one run of `aitrade train`: its folder, its key, what it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.training.checkpoints.folder import CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import Keeper, Policy
from aitrade_cli.training.state import State

CHECKPOINTS: Final = "checkpoints"
# What may differ where a run is taken up: where it runs, and what it leaves behind.
APART_FROM: Final = ("device", "spread.", "checkpoint.", "report.")


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a run's checkpoints go.

    Attributes:
        key: plain data that two runs must share to be one: the whole recipe, and the bars.
        resume: go on from the newest whole one.
    """

    folder: CheckpointFolder
    key: Mapping[str, Any]
    policy: Policy
    resume: bool

    def taken_up(self, say: Callable[[str], None]) -> tuple[State | None, Keeper]:
        """The state to go on from, None to begin from the recipe; and who writes the next ones.

        Raises:
            OtherRun: the recipe or the bars were changed.
            NothingWhole, OnlyWeights: no run can go on from what is there.
        """
        found = self.folder.newest_whole(self.key) if self.resume else None
        damaged = [path for path, _ in found.passed_over] if found else []
        for path in damaged:
            say(f"`{path}` is damaged; set aside as `{path.name}.damaged`")
        if found is not None:
            say(f"going on after step {found.step:,}")
        elif self.resume:
            say("no checkpoint yet: starting again from the recipe")
        keeper = Keeper(self.folder, self.key, self.policy, say, damaged)
        return None if found is None else State.from_dict(found.state), keeper


def kept_of(settings: Settings, resolved: Mapping[str, Any], bars_sha256: str) -> Kept | None:
    """What a run keeps; nothing without a folder."""
    if settings.run_dir is None:
        return None
    values = settings.values
    key = {name: one for name, one in resolved.items() if not name.startswith(APART_FROM)}
    return Kept(
        CheckpointFolder(settings.run_dir / CHECKPOINTS, values["checkpoint.keep"]),
        {**key, "bars": bars_sha256},
        Policy(
            values["checkpoint.every_steps"],
            values["checkpoint.every_epochs"],
            values["checkpoint.keep"],
            values["checkpoint.weights_only"],
        ),
        settings.resume,
    )


def refuse_run_in_the_way(settings: Settings) -> None:
    """Keep an earlier run that was not to be taken up, before the long work begins.

    Raises:
        StateInTheWay: there is one.
    """
    if settings.run_dir is None or settings.resume:
        return
    folder = CheckpointFolder(settings.run_dir / CHECKPOINTS)
    if settings.force:
        folder.clear()
    else:
        folder.refuse_to_mix()
