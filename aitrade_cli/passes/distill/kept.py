"""The checkpoints of one run of `aitrade distill`: two networks in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import torch

from aitrade_cli.errors import BadInput
from aitrade_cli.passes.distill.settings import Settings
from aitrade_cli.passes.distill.train import Lesson
from aitrade_cli.training.checkpoints.folder import CHECKPOINTS, CheckpointFolder
from aitrade_cli.training.checkpoints.keeper import lock_of
from aitrade_cli.training.checkpoints.kept import Kept

STUDENT: Final = "student"
ALONE: Final = "student alone"  # the same network, without a teacher


def folders_of(settings: Settings) -> dict[str, CheckpointFolder]:
    """Where each of the two keeps its checkpoints; nothing where no folder was named."""
    if settings.run_dir is None:
        return {}
    return {
        name: CheckpointFolder(settings.run_dir / name.replace(" ", "-") / CHECKPOINTS)
        for name in (STUDENT, ALONE)
    }


def refuse_run_in_the_way(settings: Settings) -> None:
    """Keep an earlier run that was neither to be taken up nor to be replaced.

    Raises:
        StateInTheWay: there is one.
    """
    if not settings.resume and not settings.force:
        for folder in folders_of(settings).values():
            folder.refuse_to_mix()


@contextmanager
def taken(settings: Settings) -> Iterator[None]:
    """Hold the run's folder to the end; where a run begins in it, both networks begin anew.

    Raises:
        RunInUse: another process trains in it.
        StateInTheWay: another run began in it meanwhile.
        BadInput: it cannot be written.
    """
    if settings.run_dir is None:
        yield
        return
    lock = lock_of(settings.run_dir, settings.run_dir)
    try:
        refuse_run_in_the_way(settings)
        if not settings.resume:
            clear(settings)
        yield
    finally:
        lock.release()


def clear(settings: Settings) -> None:
    try:
        for folder in folders_of(settings).values():
            folder.clear()
    except OSError as error:
        raise BadInput(f"cannot write into `{settings.run_dir}`: {error.strerror}") from error


def kept_of(lesson: Lesson, settings: Settings) -> Mapping[str, Kept]:
    """What each network keeps; the key is everything that decides what is learned."""
    key: dict[str, Any] = {
        "teacher": lesson.source.sha256,
        "bars": lesson.material.bars_sha256,
        "architecture": str(lesson.arch),
        "threads": torch.get_num_threads(),
        **settings.as_history(),
    }
    folders = folders_of(settings).items()
    return {name: Kept(folder, key, resume=settings.resume) for name, folder in folders}
