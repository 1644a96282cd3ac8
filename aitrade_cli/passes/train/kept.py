"""The checkpoints of one run of `aitrade train`: its folder, its key, what it goes on from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aitrade_cli.errors import BadInput
from aitrade_cli.files import replace, sha256
from aitrade_cli.lock import Lock
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.passes.train.prepare import Prepared, resolved
from aitrade_cli.passes.train.recipe_file import as_toml
from aitrade_cli.passes.train.settings import BASE_NAME, RECIPE_NAME, Settings
from aitrade_cli.training.checkpoints.folder import CHECKPOINTS, CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import Policy, hold
from aitrade_cli.training.checkpoints.kept import Kept

# What may differ where a run is taken up: where it runs, and what it leaves behind.
APART_FROM: Final = ("device", "spread.", "checkpoint.", "report.", "training.workers")


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
