"""`aitrade prune` as a person types it; latencies are planted."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.model.artefact import TorchWeights
from aitrade_cli.model.loading import load
from aitrade_cli.passes.prune.run import PrunedArtefact
from tests.passes_cases import graph, plant, typed, weights

MODEL = "models/tiny.pt"


@pytest.fixture(autouse=True)
def _folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.pt").write_bytes(weights())
    (tmp_path / "models" / "tiny.onnx").write_bytes(graph())
    plant(monkeypatch, {"before": 900.0, "after": 300.0})


@pytest.fixture
def unworked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where the long work is begun."""

    def begun(*_: Any, **__: Any) -> PrunedArtefact:
        pytest.fail("pruning was begun")

    monkeypatch.setattr("aitrade_cli.passes.prune.run.prune_artefact", begun)


def test_the_derived_name_lands_in_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "prune", MODEL, "--structured", "0.5", "--plot", "p.svg") == 0
    assert load(Path("tiny.pruned.pt").read_bytes()).card.history[-1].command == "prune"
    assert Path("p.svg").read_text().lstrip().startswith("<?xml")
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "tiny.pt -> tiny.pruned.pt" in out
    assert "prune: round 1 of 1" in err


def test_a_pipe_in_and_a_pipe_out(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(weights())))
    assert typed(monkeypatch, "prune", "-", "--structured", "0.5", "-o", "-") == 0
    out, err = capsysbinary.readouterr()
    assert isinstance(load(out).network, TorchWeights)  # nothing but the artefact
    assert b"Layers" in err


def test_json_is_one_line_with_the_fields_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "prune", MODEL, "--sparsity", "0.5", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    data = json.loads(line)["data"]
    assert set(data) >= {"parameter_ratio", "mac_ratio", "sparsity", "passed", "layers", "paces"}
    assert set(data["paces"][0]) >= {"batch", "speedup", "throughput_before", "throughput_after"}


def test_a_missed_budget_exits_1_and_still_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--structured", "0.5", "--max-flips", "0%")
    assert typed(monkeypatch, "prune", MODEL, *words) == 1
    assert load(Path("tiny.pruned.pt").read_bytes()).card.history[-1].measurements["passed"] is (
        False
    )


@pytest.mark.usefixtures("unworked")
@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((MODEL,), 2),
        ((MODEL, "--structured", "1.5"), 2),
        ((MODEL, "--structured", "0.5", "--pattern", "2:4"), 2),
        ((MODEL, "--pattern", "3"), 2),
        ((MODEL, "--sparsity", "0.5", "--schedule", "cubic"), 2),
        ((MODEL, "--structured", "0.5", "--plot", "p.txt"), 2),
        (("models/none.pt", "--structured", "0.5"), 4),
    ],
)
def test_what_cannot_be_meant_is_told_before_the_long_work(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    assert typed(monkeypatch, "prune", *words) == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("models/tiny.onnx", "--structured", "0.5"), "is an ONNX graph"),
        ((MODEL, "--structured", "0.5", "--finetune"), "train"),
    ],
)
def test_what_cannot_be_used_exits_4(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    assert typed(monkeypatch, "prune", *words) == 4
    assert said in capsys.readouterr().err
    assert not list(Path().glob("*.pt"))


def test_a_file_that_is_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tiny.pruned.pt").write_bytes(b"precious")
    assert typed(monkeypatch, "prune", MODEL, "--structured", "0.5") == 6
    assert Path("tiny.pruned.pt").read_bytes() == b"precious"
    assert "already exists" in capsys.readouterr().err
