"""The checkpoints of one run: which are kept, and which one a run goes on from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput, Refused
from aitrade_cli.training.checkpoints.layout import (
    DamagedCheckpoint,
    NotACheckpoint,
    read,
    read_head,
)

CHECKPOINTS: Final = "checkpoints"  # in the folder of a run
ENDING: Final = ".ckpt"
NAME: Final = re.compile(r"step-(\d{9,})(\.best)?\.ckpt")
LEFT_BEHIND: Final = ".aitrade-*.tmp"
ASIDE: Final = ".damaged"


class OtherRun(Refused):
    """The folder holds the state of a run with other settings."""

    default_hint = "put the settings back, or begin another run in another `--run-dir`"


class StateInTheWay(Refused):
    """The folder holds a state, and neither going on from it nor replacing it was asked for."""

    default_hint = "pass `--resume` to go on from it, or `--force` to start anew"


class NothingWhole(BadInput):
    """Every checkpoint of a run is damaged."""

    default_hint = "start anew with `--force`, without `--resume`; the recipe of `train` is kept"


class OnlyWeights(Refused):
    """A run was asked to go on from checkpoints that hold the weights and nothing else."""

    default_hint = "start anew, without `--checkpoint-weights-only`"


@dataclass(frozen=True, slots=True)
class Found:
    """The newest whole checkpoint.

    Attributes:
        state: as it was saved.
        passed_over: newer files that are damaged, each with what is wrong with it.
    """

    path: Path
    step: int
    state: dict[str, Any]
    passed_over: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, slots=True)
class CheckpointFolder:
    """Files named by step, `step-000000120.ckpt`, or `.best.ckpt` after the best pass so far.

    Attributes:
        path: made by ``prepare``.
        keep: newest checkpoints that stay, at least one; the best stays besides.
    """

    path: Path
    keep: int = 2

    def prepare(self) -> None:
        """Make the folder, and remove what a killed writer left half-done.

        Raises:
            BadInput: it cannot be made or written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for piece in self.path.glob(LEFT_BEHIND):
                piece.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput(f"cannot write to `{self.path}`: {error.strerror}") from error

    def refuse_to_mix(self) -> None:
        """Keep what may have taken hours.

        Raises:
            StateInTheWay: checkpoints of an earlier run lie here.
        """
        files = self.files()
        if files:
            raise StateInTheWay(f"`{files[-1]}` holds the state of an earlier run")

    def clear(self) -> None:
        """Remove every checkpoint."""
        for path in self.files():
            path.unlink(missing_ok=True)

    def file(self, step: int, *, best: bool = False) -> Path:
        return self.path / f"step-{step:09d}{'.best' if best else ''}{ENDING}"

    def files(self) -> list[Path]:
        """Every checkpoint, the oldest first; whether they are whole is not looked at."""
        return sorted(
            (path for path in self.path.glob(f"*{ENDING}") if NAME.fullmatch(path.name)),
            key=lambda path: (step_of(path), is_best(path)),
        )

    def tidy(self) -> None:
        """Remove all but the newest and the best; call it when a new one is whole."""
        files = self.files()
        kept = {*files[-max(1, self.keep) :], *[path for path in files if is_best(path)][-1:]}
        for path in files:
            if path not in kept:
                with suppress(OSError):  # it takes room and does no harm
                    path.unlink(missing_ok=True)

    def newest_whole(self, key: Mapping[str, Any]) -> Found | None:
        """What a run goes on from; every byte of it is checked. None before the first one.

        Args:
            key: plain data that two runs must share to be one; compared with the one saved.

        Raises:
            OtherRun: the checkpoint is of a run with another key; the first difference is named.
            OnlyWeights: whole ones hold no more than the weights.
            NothingWhole: all of them are damaged.
        """
        passed_over: list[tuple[Path, str]] = []
        files = self.files()
        for path in reversed(files):
            try:
                refuse_another_run(path, read_head(path), key)
                found = read(path)
            except (DamagedCheckpoint, NotACheckpoint) as error:
                passed_over.append((path, str(error)))
                continue
            return Found(path, step_of(path), found.tree, tuple(passed_over))
        if files:
            raise NothingWhole(f"none of the {len(files)} checkpoints in `{self.path}` is whole")
        return None


def set_aside(damaged: Path) -> None:
    """Take a damaged file out of the count of the newest; it is not deleted."""
    with suppress(OSError):
        damaged.rename(damaged.with_name(damaged.name + ASIDE))


def refuse_another_run(path: Path, head: Mapping[str, Any], key: Mapping[str, Any]) -> None:
    told = head.get("key", {})
    for name in {**told, **key}:
        if told.get(name) != key.get(name):
            raise OtherRun(
                f"`{path}` is of a run with {name} `{told.get(name)}`, not `{key.get(name)}`"
            )
    if head.get("weights_only"):
        raise OnlyWeights(f"`{path}` holds weights only: no run can go on from it exactly")


def step_of(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def is_best(path: Path) -> bool:
    return path.name.endswith(f".best{ENDING}")
