"""Checkpoints of a real run: when, how many, and what a failure to write does to it."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.checkpoints import writer as writing
from aitrade_cli.training.checkpoints.folder import CheckpointFolder, is_best, step_of
from aitrade_cli.training.checkpoints.keeper import Keeper, Policy, RunInUse, hold
from aitrade_cli.training.checkpoints.layout import read, read_head
from aitrade_cli.training.distributed.trial import Layers, Planted
from aitrade_cli.training.goal import Fit, Hooks
from aitrade_cli.training.placement import copy_of
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import Run, pursue
from aitrade_cli.training.state import State

RECIPE = Recipe(epochs=3, batch=21, seed=1)  # five steps a pass


class Patient(Keeper):
    """Waits for each checkpoint, so that none is put off."""

    def save(self, run: Any, *, best: bool) -> None:
        super().save(run, best=best)
        self.writer.wait()


def trained(keeper: Keeper, state: State | None = None) -> tuple[dict[str, Tensor], Fit]:
    network = Layers(6, 2)
    hooks = Hooks(callbacks=(keeper,))
    fit = pursue(network, Planted(90, 6), RECIPE, hooks=hooks, state=state)
    return copy_of(network), fit


def test_steps_passes_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "a" / "checkpoints", keep=99)
    said: list[str] = []
    _, fit = trained(Patient(folder, {"seed": 1}, Policy(every_steps=4), said.append))
    best = [5 * epoch.number for epoch in fit.epochs if epoch.best]
    assert [step_of(path) for path in folder.files() if is_best(path)] == best
    steps = {step_of(path) for path in folder.files()}
    assert steps >= {4, 8, 12, 15, *best}
    assert said == []
    head = read_head(folder.files()[0])
    assert head == {"step": 4, "epoch": 0, "best": False, "weights_only": False,
                    "key": {"seed": 1}}  # fmt: skip


def test_a_run_taken_up_anywhere_ends_the_same(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=99)
    whole, fit = trained(Patient(folder, {}, Policy(every_steps=1)))
    for path in folder.files()[::4]:
        again, other = trained(
            Patient(CheckpointFolder(tmp_path / path.stem), {}), State.from_dict(read(path).tree)
        )
        assert all(torch.equal(again[name], weights) for name, weights in whole.items())
        assert other == fit


def test_a_full_disk_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=99)
    plain, whole = writing.write, trained(Patient(CheckpointFolder(tmp_path / "b"), {}))[0]

    def full(path: Path, *rest: Any) -> Any:
        if "best" not in path.name or len(folder.files()) > 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return plain(path, *rest)

    monkeypatch.setattr(writing, "write", full)
    said: list[str] = []
    keeper = Patient(folder, {}, Policy(every_steps=4), said.append)
    weights, _ = trained(keeper)
    assert all(torch.equal(weights[name], one) for name, one in whole.items())
    assert said[0] == (
        "the checkpoint of step 4 was not written: No space left on device; training goes on,"
        " there is none"
    )
    assert said[-1].endswith("training goes on, the last whole one is of step 5")
    assert len(said) == len(keeper.tally.failures)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")

    class Meddler(Patient):
        def save(self, run: Any, *, best: bool) -> None:
            with pytest.raises(RunInUse, match="another process trains"):
                trained(Patient(folder, {}))
            super().save(run, best=best)

    trained(Meddler(folder, {}))
    trained(Patient(folder, {}))  # and it is free again


def test_weights_only_hold_the_weights_alone(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    trained(Patient(folder, {}, Policy(weights_only=True)))
    assert read(folder.files()[-1]).tree.keys() == {"format", "weights"}


def test_a_checkpoint_that_is_due_while_another_is_written_comes_later(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=99)
    keeper = Keeper(folder, {}, Policy(every_steps=4))
    busy = iter([True, True, False])
    saved: list[int] = []

    class Busy(writing.Writer):
        @property
        def busy(self) -> bool:
            return next(busy, False)

        def save(self, path: Path, state: Any, head: Any) -> None:
            saved.append(head["step"])
            super().save(path, state, head)

    keeper.writer = Busy(keeper.written, keeper.not_written)
    trained(keeper)
    assert 4 not in saved
    assert saved[0] in {5, 6}


def test_weights_only_of_an_averaged_run_are_the_average_that_was_validated(
    tmp_path: Path,
) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=99)
    averages: dict[int, dict[str, Tensor]] = {}

    class Looks(Callback):
        def on_step(self, run: Run) -> None:
            assert run.average is not None
            averages[run.step] = {n: one.clone() for n, one in run.average.weights.items()}

    keeper = Patient(folder, {}, Policy(every_steps=4, weights_only=True))
    network = Layers(6, 2)
    hooks = Hooks(callbacks=(Looks(), keeper))
    pursue(network, Planted(90, 6), replace(RECIPE, average=0.9), hooks=hooks)
    for path in folder.files():
        found = read(path).tree["weights"]
        wanted = averages[step_of(path)]
        assert all(torch.equal(found[name], one) for name, one in wanted.items())
    best = read([path for path in folder.files() if is_best(path)][-1]).tree["weights"]
    assert all(torch.equal(best[name], one) for name, one in network.state_dict().items())


def test_a_folder_in_use_keeps_the_file_that_is_being_written_into_it(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints")
    lock = hold(folder)
    half = folder.path / ".aitrade-0.tmp"
    half.write_bytes(b"half")
    with pytest.raises(RunInUse):
        trained(Patient(folder, {}))
    assert half.exists()
    trained(Patient(folder, {}, lock=lock))  # its own holder trains on
    with pytest.raises(RunInUse):
        hold(folder)  # and holds it still
    lock.release()
    hold(folder).release()
    assert not half.exists()
