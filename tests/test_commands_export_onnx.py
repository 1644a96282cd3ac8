"""`aitrade export-onnx` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.loading import load
from aitrade_cli.model.runtimes import start
from tests.passes_cases import bars_inside, digest, graph, torch_model, typed, weights

LEGACY = ("--exporter", "legacy")  # the quick one of the two


@pytest.fixture(autouse=True)
def _folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "tiny.pt").write_bytes(weights())


def test_the_graph_computes_what_torch_computes_and_keeps_the_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "export-onnx", "tiny.pt", *LEGACY) == 0
    made = load(Path("tiny.onnx").read_bytes())
    _, sample = bars_inside()
    windows = np.ascontiguousarray(sample.evaluation.windows(8)[:50], dtype=np.float32)
    apart = np.abs(start(made).run(windows) - start(torch_model()).run(windows))
    assert apart.max() < 1e-5
    assert made.card.decision == torch_model().card.decision
    assert made.card.preprocessing == torch_model().card.preprocessing
    (step,) = made.card.history
    assert (step.command, step.parent_sha256) == ("export-onnx", digest(weights()))
    assert step.measurements == {"exporter": "legacy"}
    out = capsys.readouterr().out
    assert "runs the same in ONNX" in out
    assert max(map(len, out.splitlines())) <= 80


def test_the_artefact_takes_stdout_and_the_report_stderr(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert typed(monkeypatch, "export-onnx", "tiny.pt", *LEGACY, "-o", "-", "--json") == 0
    out, err = capsysbinary.readouterr()
    assert isinstance(load(out).network, OnnxGraph)
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["kind"] for line in lines] == ["progress", "report"]
    assert set(lines[-1]["data"]) >= {"chosen", "trials", "size_bytes", "nodes", "inputs"}


@pytest.fixture
def unworked(monkeypatch: pytest.MonkeyPatch) -> None:
    def begun(*_: Any, **__: Any) -> Any:
        pytest.fail("the export was begun")

    monkeypatch.setattr("aitrade_cli.model.export.export_onnx", begun)


@pytest.mark.usefixtures("unworked")
def test_a_file_that_is_there_is_refused_before_the_long_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tiny.onnx").write_bytes(b"precious")
    assert typed(monkeypatch, "export-onnx", "tiny.pt") == 6
    assert Path("tiny.onnx").read_bytes() == b"precious"
    assert "--force" in capsys.readouterr().err


def test_an_exporter_that_there_is_not_is_quoted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "export-onnx", "tiny.pt", "--exporter", "pigeon") == 2
    assert "pigeon" in capsys.readouterr().err
    assert not Path("tiny.onnx").exists()


def test_a_graph_needs_no_export(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("ready.onnx").write_bytes(graph())
    assert typed(monkeypatch, "export-onnx", "ready.onnx", "-o", "again.onnx") == 4
    assert "aitrade quantize" in capsys.readouterr().err
    assert not Path("again.onnx").exists()


def test_hostile_bytes_end_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("bad.pt").write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    assert typed(monkeypatch, "export-onnx", "bad.pt") in {4, 6}
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err
