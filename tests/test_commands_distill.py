"""`aitrade distill` as a person types it; latencies are planted."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from aitrade_cli.model.loading import load
from tests.passes_cases import BARS, plant, typed, weights

WORDS = ("--student", "mlp", "--params", "500", "--epochs", "1", "--data", str(BARS))


@pytest.fixture(autouse=True)
def _folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("tiny.pt").write_bytes(weights())
    plant(monkeypatch)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def unworked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where the long work is begun."""

    def begun(*_: Any, **__: Any) -> None:
        pytest.fail("distillation was begun")

    monkeypatch.setattr("aitrade_cli.passes.distill.run.distill_artefact", begun)


def test_a_student_lands_beside_with_a_name_a_report_and_a_plot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "distill", "tiny.pt", *WORDS, "--plot", "curves.svg") == 0
    assert load(Path("tiny.mlp.pt").read_bytes()).card.history[-1].command == "distill"
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "student alone" in out
    assert "distill: student, epoch 1 of 1" in err
    assert Path("curves.svg").stat().st_size > 5_000


def test_a_pipe_in_and_a_pipe_out_with_json_on_stderr(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(weights())))
    assert typed(monkeypatch, "distill", "-", *WORDS, "-o", "-", "--json") == 0
    out, err = capsysbinary.readouterr()
    assert load(out).card.history[-1].settings["student"] == "mlp"
    report = next(one for one in map(json.loads, err.splitlines()) if one["kind"] == "report")
    assert set(report["data"]) >= {"models", "differences", "trainings", "lesson", "passed"}


def test_a_missed_budget_exits_1_and_still_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "distill", "tiny.pt", *WORDS, "--max-flips", "0") == 1
    assert load(Path("tiny.mlp.pt").read_bytes()).card.history[-1].measurements["passed"] is False


def test_without_bars_it_exits_4_and_says_how_to_name_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "distill", "tiny.pt", "--student", "mlp") == 4
    assert "--data BARS" in capsys.readouterr().err


@pytest.mark.usefixtures("unworked")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--student", "rnn"), 2, "`rnn`"),
        (("--student", "mlp", "--params", "50q"), 2, "50q"),
        (("--student", "mlp", "--speedup", "0.5x"), 2, "0.5x"),
        (("--student", "mlp", "--params", "9k", "--speedup", "4x"), 2, "both set"),
        (("--student", "mlp", "--resume"), 2, "--run-dir"),
        (("--student", "mlp", "--plot", "a.txt"), 2, "a.txt"),
        (("--student", "mlp", "-o", "tiny.pt"), 6, "already exists"),
    ],
)
def test_nonsense_is_refused_before_the_long_work(
    words: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "distill", "tiny.pt", *words) == code
    assert said in capsys.readouterr().err
