"""The checkpoints of one run of `aitrade train`: its folder, its key, what it goes on from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.files import replace, sha256
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.passes.train.prepare import Prepared, resolved
from aitrade_cli.passes.train.recipe_file import as_toml
from aitrade_cli.passes.train.settings import BASE_NAME, RECIPE_NAME, Settings
from aitrade_cli.replay.lock import Lock
from aitrade_cli.training.checkpoints.folder import CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import Keeper, Policy, hold
from aitrade_cli.training.state import State

CHECKPOINTS: Final = "checkpoints"
# What may differ where a run is taken up: where it runs, and what it leaves behind.
APART_FROM: Final = ("device", "spread.", "checkpoint.", "report.", "training.workers")


@dataclass(frozen=True, slots=True)
class Kept:
    """Where a run's checkpoints go.

    Attributes:
        key: plain data that two runs must share to be one: the whole recipe, the bars, and the
            base model where there is one.
        resume: go on from the newest whole one.
    """

    folder: CheckpointFolder
    key: Mapping[str, Any]
    policy: Policy
    resume: bool

    def taken_up(
        self, say: Callable[[str], None], lock: Lock | None = None
    ) -> tuple[State | None, Keeper]:
        """The state to go on from, None to begin from the recipe; and who writes the next ones.

        Args:
            say: told what the user should know.
            lock: of the folder, which the caller holds.

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
        keeper = Keeper(self.folder, self.key, self.policy, say, damaged, lock)
        return None if found is None else State.from_dict(found.state), keeper


def kept_of(ready: Prepared) -> Kept | None:
    """What a run keeps; nothing without a folder."""
    settings = ready.settings
    if settings.run_dir is None:
        return None
    values, base = settings.values, ready.start.base
    found = resolved(ready)
    key = {name: one for name, one in found.items() if not name.startswith(APART_FROM)}
    key["bars"] = ready.bars.source_sha256
    if base is not None:
        key["base"] = base.sha256
    return Kept(
        CheckpointFolder(settings.run_dir / CHECKPOINTS, values["checkpoint.keep"]),
        key,
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
    if settings.run_dir is not None and not settings.resume and not settings.force:
        CheckpointFolder(settings.run_dir / CHECKPOINTS).refuse_to_mix()


@contextmanager
def taken(ready: Prepared, kept: Kept | None) -> Iterator[Lock | None]:
    """Hold the run's folder; where a run begins in it, an earlier one goes and the recipe comes.

    Nothing in the folder was touched before, and the request is one that can be run.

    Raises:
        RunInUse: another process trains in it.
        StateInTheWay: another run began in it meanwhile.
        BadInput: it cannot be written.
    """
    if kept is None:
        yield None
        return
    lock = hold(kept.folder)
    try:
        if not kept.resume:
            begin(ready, kept.folder)
        yield lock
    finally:
        lock.release()


def begin(ready: Prepared, folder: CheckpointFolder) -> None:
    """Make room for a new run in a folder that is held, and write its recipe and its base."""
    if not ready.settings.force:
        folder.refuse_to_mix()
    try:
        folder.clear()
        keep_recipe(ready, folder.path.parent)
    except OSError as error:
        raise BadInput(f"cannot write into `{folder.path.parent}`: {error.strerror}") from error


def keep_recipe(ready: Prepared, run_dir: Path) -> None:
    """Put the resolved recipe, and the base model's own bytes, into the run's folder.

    What was measured is written as found: the same run elsewhere does not measure again. The
    recipe comes last, and an earlier one goes first: it never lies beside another run's base.
    """
    base = None if ready.start.base is None else bytes_of(ready.settings, ready.start.base)
    (run_dir / RECIPE_NAME).unlink(missing_ok=True)
    if base is None:
        (run_dir / BASE_NAME).unlink(missing_ok=True)
    else:
        replace(run_dir / BASE_NAME, base)
    replace(run_dir / RECIPE_NAME, as_toml(resolved(ready)).encode())


def bytes_of(settings: Settings, base: Artefact) -> bytes:
    """The file that the base model was read from.

    Raises:
        BadInput: it was changed meanwhile.
    """
    data = Path(str(settings.base)).read_bytes()
    if sha256(data) != base.sha256:
        raise BadInput(f"`{settings.base}` was changed while the run was prepared")
    return data
