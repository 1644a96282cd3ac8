"""The run's folder in `aitrade train`: full disks, two at once, kills, and what is told after."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.lock import Lock
from aitrade_cli.passes.train import devices, pictures
from aitrade_cli.passes.train.metrics import MetricsFile, TensorBoard
from aitrade_cli.passes.train.prepare import prepare
from aitrade_cli.passes.train.report import took_text
from aitrade_cli.passes.train.run import train_here
from aitrade_cli.passes.train.settings import settings_of
from aitrade_cli.training.checkpoints import writer as writing
from aitrade_cli.training.run import Run
from aitrade_cli.training.state import Epoch
from tests.passes_cases import typed
from tests.test_commands_train import RECIPE

SHORT = RECIPE.replace("eurusd_1h", "nasdaq_1d").replace("epochs = 2", "epochs = 1")
SHORT = f'{SHORT}\n[report]\nleaks = "none"\n'.replace("stride = 4", "stride = 4\ntest_rows = 512")
needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")


@pytest.fixture(autouse=True)
def _folder_with_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pictures, "save_plot", lambda *_: None)
    (tmp_path / "recipe.toml").write_text(SHORT)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run in ``a`` and its model beside it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "recipe.toml").write_text(SHORT)
    asked = settings_of(str(folder / "recipe.toml"), {}, run_dir=folder / "a")
    (folder / "a.pt").write_bytes(train_here(asked, "a.pt").data)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return Path("a")


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def no_picture(*_: Any) -> None:
    raise BadInput("cannot write `loss.png`: No space left on device")


@needs_dev_full
def test_a_full_disk_takes_the_files_and_not_the_run(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("b").mkdir()
    Path("b/metrics.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr(writing, "write", full)
    monkeypatch.setattr(pictures, "save_plot", no_picture)
    assert typed(monkeypatch, "train", "recipe.toml", "--run-dir", "b", "-o", "b.pt") == 0
    told = capsys.readouterr()
    assert told.err.count("`metrics.jsonl` was not written: No space left on device") == 1
    assert "lacks its last" in told.err
    assert "training goes on, there is none" in told.err
    assert "not drawn: cannot write `loss.png`" in told.out
    assert Path("b.pt").read_bytes() == Path("a.pt").read_bytes()
    assert (run / "metrics.jsonl").exists()


def test_event_files_on_a_full_disk_end_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    board = TensorBoard(Path("events"), said.append)
    close = board.writer.close
    monkeypatch.setattr(board, "add", full)
    for number in (1, 2):
        board.on_epoch(state_at(number), Epoch(number, 1.0, 1.0, best=False))
    board.on_end(state_at(2))
    close()
    assert said == ["event files end here: No space left on device; training goes on"]


@pytest.mark.parametrize(
    "words",
    [("--resume", "a", "-o", "b.pt"), ("recipe.toml", "--run-dir", "a", "--force", "-o", "b.pt")],
)
def test_a_folder_in_use_is_left_as_it_is(
    words: tuple[str, ...],
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (run / "checkpoints" / ".aitrade-0.tmp").write_bytes(b"half")
    (run / "metrics.jsonl").write_bytes((run / "metrics.jsonl").read_bytes() + b'{"step": 999')
    lock = Lock(run / "checkpoints")
    before = contents(run)
    assert typed(monkeypatch, "train", *words) == 6
    assert "another process trains in `a`" in capsys.readouterr().err
    assert contents(run) == before
    lock.release()
    assert typed(monkeypatch, "train", *words) == 0
    assert not (run / "checkpoints" / ".aitrade-0.tmp").exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_request_that_cannot_be_clears_nothing(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(run)
    words = ("train", "recipe.toml", "--run-dir", "a", "--force", "-o", "b.pt")
    assert typed(monkeypatch, *words, "--hogwild", "2") == 2
    assert "keeps no states" in capsys.readouterr().err
    assert typed(monkeypatch, *words, "--data", "nowhere.csv") == 4
    assert contents(run) == before


def state_at(step: int, epochs: int = 0) -> Run:
    """As much of a run as a file of metrics asks for."""
    run = Run.__new__(Run)
    run.step, run.skipped = step, 0
    run.epochs = [Epoch(number, 1.0, 1.0, best=False) for number in range(epochs)]
    return run


def opened(path: Path, step: int, epochs: int) -> Iterator[MetricsFile]:
    file = MetricsFile(path)
    file.on_start(state_at(step, epochs))
    yield file
    file.on_end(state_at(step, epochs))


def test_lines_after_the_state_are_cut_off_and_those_before_are_not_written_again() -> None:
    path = Path("metrics.jsonl")
    first = [b'{"kind": "step", "step": 50}\n', b'{"kind": "epoch", "step": 50, "number": 1}\n']
    later = [b'{"kind": "epoch", "step": 100, "number": 2}\n', b'{"kind": "st']
    path.write_bytes(b"".join([*first, *later]))
    place = path.stat().st_ino
    for file in opened(path, step=100, epochs=1):
        assert path.read_bytes() == b"".join(first)
        file.on_epoch(state_at(100), Epoch(2, 1.0, 1.0, best=True))
    assert path.stat().st_ino == place
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert [line.get("number") for line in lines] == [None, 1, 2]


def test_an_epoch_that_no_checkpoint_holds_is_told_once() -> None:
    path = Path("metrics.jsonl")
    path.write_bytes(b'{"kind": "epoch", "step": 50, "number": 1}\n')
    for file in opened(path, step=50, epochs=0):
        file.on_epoch(state_at(50), Epoch(1, 1.0, 1.0, best=True))
    assert len(path.read_bytes().splitlines()) == 1


def test_a_file_with_a_hole_in_it_keeps_its_whole_lines() -> None:
    path = Path("metrics.jsonl")
    path.write_bytes(b'\x00\x00\n{"kind": "step", "step": 50}\n')
    for _ in opened(path, step=50, epochs=0):
        pass
    assert path.read_bytes() == b'{"kind": "step", "step": 50}\n'


def test_a_run_that_was_over_claims_no_speed(
    run: Path,
) -> None:
    told = train_here(settings_of(None, {}, resume=str(run)), "b.pt").report
    assert told.resumed_at == told.steps > 0
    assert told.windows_per_s == 0.0
    assert took_text(told) == f"nothing: the run was over after step {told.steps}"
    half = replace(told, resumed_at=told.steps // 2, seconds=1.0, windows_per_s=50.0)
    assert took_text(half).endswith(f", from step {told.steps // 2} on")


def test_workers_are_told_what_was_proven_and_write_down_what_was_asked() -> None:
    asked = settings_of("recipe.toml", {"training.batch": 0, "report.leaks": "quick"})
    ready = prepare(asked)
    told = devices.told(asked, ready)
    assert told.values["report.leaks"] == "quick"
    assert told.values["training.batch"] == ready.recipe.batch > 0
    assert (ready.leaks is not None, prepare(told).leaks) == (True, None)
