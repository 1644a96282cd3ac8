"""The writer and its folder: training goes on, one at a time, the last good one always there."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aitrade_cli.errors import BadInput
from aitrade_cli.training.checkpoints import writer as module
from aitrade_cli.training.checkpoints.folder import (
    CheckpointFolder,
    NothingWhole,
    OnlyWeights,
    OtherRun,
    StateInTheWay,
    set_aside,
)
from aitrade_cli.training.checkpoints.layout import read
from aitrade_cli.training.checkpoints.writer import Cost, Writer


def test_what_is_saved_is_the_moment_of_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The optimizer steps in place while the file is written."""
    stepped = threading.Event()
    plain_write = module.write

    def late(*arguments: Any) -> Any:
        assert stepped.wait(60)
        return plain_write(*arguments)

    monkeypatch.setattr(module, "write", late)
    state = {"first": torch.zeros(1000), "second": torch.zeros(1000)}
    writer = Writer()
    writer.save(tmp_path / "a.ckpt", state, {})
    assert writer.busy
    for weights in state.values():
        weights.add_(1.0)
    stepped.set()
    writer.wait()
    assert not any(tensor.any() for tensor in read(tmp_path / "a.ckpt").tree.values())


def test_without_a_snapshot_the_file_would_be_of_a_later_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.Snapshot, "take", take_by_reference)
    test = test_what_is_saved_is_the_moment_of_the_call
    with pytest.raises(AssertionError):
        test(tmp_path, monkeypatch)


def take_by_reference(snapshot: Any, state: dict[str, Tensor]) -> None:
    snapshot.tensors = list(state.values())
    snapshot.tree = {name: {"$": ["tensor", at]} for at, name in enumerate(state)}


def test_a_second_save_waits_for_the_first(tmp_path: Path) -> None:
    costs: list[Cost] = []
    writer = Writer(costs.append)
    for number in range(4):
        writer.save(tmp_path / f"{number}.ckpt", {"value": torch.full((9,), float(number))}, {})
    writer.wait()
    assert [cost.written.path.stem for cost in costs] == ["0", "1", "2", "3"]
    for number in range(4):
        assert read(tmp_path / f"{number}.ckpt").tree["value"].tolist() == [float(number)] * 9


def test_a_bug_while_writing_is_raised_where_training_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "write", lambda *_: 1 / 0)
    writer = Writer()
    writer.save(tmp_path / "a.ckpt", {}, {})
    with pytest.raises(ZeroDivisionError):
        writer.wait()
    writer.wait()  # once


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """As on a full disk: the kernel takes no byte beyond ``size`` in any file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_leaves_the_last_whole_checkpoint(tmp_path: Path) -> None:
    failures: list[tuple[str, int | None]] = []
    writer = Writer(failed=lambda path, error: failures.append((path.name, error.errno)))
    noise = torch.rand(100_000)
    writer.save(tmp_path / "1.ckpt", {"value": noise}, {})
    writer.wait()
    with files_up_to(100_000):
        writer.save(tmp_path / "2.ckpt", {"value": noise + 1}, {})
        writer.wait()
    assert failures == [("2.ckpt", 27)]  # "file too large"
    assert os.listdir(tmp_path) == ["1.ckpt"]
    assert torch.equal(read(tmp_path / "1.ckpt").tree["value"], noise)
    writer.save(tmp_path / "3.ckpt", {"value": noise}, {})  # and there is room again
    writer.wait()
    assert read(tmp_path / "3.ckpt").tree.keys() == {"value"}


def put(folder: CheckpointFolder, step: int, *, best: bool = False, **head: Any) -> Path:
    folder.prepare()
    path = folder.file(step, best=best)
    writer = Writer()
    writer.save(path, {"step": step}, {"key": {"seed": 1}, **head})
    writer.wait()
    return path


def names(folder: CheckpointFolder) -> list[str]:
    return [path.name for path in folder.files()]


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=2)
    for step, best in [(1, True), (2, True), (3, False), (4, False), (5, False)]:
        put(folder, step, best=best)
        folder.tidy()
    assert names(folder) == [
        "step-000000002.best.ckpt",
        "step-000000004.ckpt",
        "step-000000005.ckpt",
    ]


def test_order_is_by_number_past_nine_digits(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=1)
    for step in (999_999_999, 1_000_000_000):
        put(folder, step)
    assert names(folder)[-1] == "step-1000000000.ckpt"


def test_a_run_goes_on_from_the_newest_whole_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    assert folder.newest_whole({"seed": 1}) is None
    put(folder, 1)
    put(folder, 2)
    newest = put(folder, 3)
    newest.write_bytes(newest.read_bytes()[:-9])
    (tmp_path / "step-000000004.ckpt").write_bytes(b"something else, of some length")
    found = folder.newest_whole({"seed": 1})
    assert found is not None
    assert (found.step, found.state) == (2, {"step": 2})
    assert [path.name for path, _ in found.passed_over] == [
        "step-000000004.ckpt",
        "step-000000003.ckpt",
    ]
    for path, said in found.passed_over:
        assert path.name in said
        set_aside(path)
    assert names(folder) == ["step-000000001.ckpt", "step-000000002.ckpt"]


def test_damaged_files_alone_are_one_line(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    put(folder, 1).write_bytes(b"")
    with pytest.raises(NothingWhole, match="none of the 1 checkpoints"):
        folder.newest_whole({"seed": 1})


def test_another_recipe_is_refused_by_its_first_difference(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    put(folder, 1)
    with pytest.raises(OtherRun, match="with seed `1`, not `2`"):
        folder.newest_whole({"seed": 2})


def test_weights_alone_do_not_make_a_run(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    put(folder, 1, weights_only=True)
    with pytest.raises(OnlyWeights, match="holds weights only"):
        folder.newest_whole({"seed": 1})


def test_an_earlier_run_is_not_mixed_with_a_new_one(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.refuse_to_mix()
    put(folder, 7)
    with pytest.raises(StateInTheWay, match="step-000000007"):
        folder.refuse_to_mix()
    folder.clear()
    folder.refuse_to_mix()


def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".aitrade-0123.tmp").write_bytes(b"half")
    CheckpointFolder(tmp_path).prepare()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="cannot write to"):
        CheckpointFolder(tmp_path / "file" / "checkpoints").prepare()
