"""`aitrade inspect` as a person types it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from aitrade_cli.model.loading import load
from tests.passes_cases import BARS, digest, graph, typed, weights
from tests.shell import ROOT

BARE = str(ROOT / "fixtures" / "user" / "weights.pt")
FACTORY = "fixtures.user.nets:build"


@pytest.fixture(autouse=True)
def _folder_with_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "tiny.pt").write_bytes(weights())
    (tmp_path / "tiny.onnx").write_bytes(graph())


@pytest.mark.parametrize(
    ("name", "kind"), [("tiny.pt", "torch weights (.pt)"), ("tiny.onnx", "ONNX graph (.onnx)")]
)
def test_each_kind_is_shown(
    name: str, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "inspect", name) == 0
    out, err = capsys.readouterr()
    assert out.startswith(name)
    assert kind in out
    assert "1,923" in out
    assert digest(Path(name).read_bytes()) in out
    assert max(map(len, out.splitlines())) <= 80
    assert err == ""


def test_json_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "inspect", "tiny.onnx", "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    report = json.loads(line)
    assert (report["command"], report["kind"]) == ("inspect", "report")
    assert report["data"]["parameters"] == 1_923
    assert report["data"]["operators"]["Gemm"] == 3
    assert report["data"]["sha256"] == digest(graph())


def test_a_model_can_come_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(weights())))
    assert typed(monkeypatch, "inspect", "-") == 0
    assert "torch weights" in capsys.readouterr().out


def test_wrapping_makes_an_artefact_with_bars_inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--arch", FACTORY, "--wrap", "--data", str(BARS), "-o", "mine.pt")
    assert typed(monkeypatch, "inspect", BARE, *words) == 0
    made = load(Path("mine.pt").read_bytes(), arch=FACTORY)
    assert made.card.preprocessing is not None
    assert made.card.sample is not None
    (step,) = made.card.history
    assert (step.command, step.settings["arch"]) == ("wrap", FACTORY)
    assert step.parent_sha256 == digest(Path(BARE).read_bytes())
    assert capsys.readouterr().out.startswith("mine.pt")


def test_a_wrapped_model_takes_stdout_and_the_report_stderr(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert typed(monkeypatch, "inspect", BARE, "--arch", FACTORY, "--wrap", "-o", "-") == 0
    out, err = capsysbinary.readouterr()
    assert load(out, arch=FACTORY).card.sample is None
    assert b"torch weights" in err


def test_the_name_of_a_wrapped_model_is_derived(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "inspect", BARE, "--arch", FACTORY, "--wrap") == 0
    assert Path("weights.wrapped.pt").is_file()
    assert typed(monkeypatch, "inspect", BARE, "--arch", FACTORY, "--wrap") == 6
    assert typed(monkeypatch, "inspect", BARE, "--arch", FACTORY, "--wrap", "--force") == 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("tiny.pt", "--wrap"), 2, "`--wrap` wants `--arch module:factory`"),
        (("tiny.pt", "-o", "x.pt"), 2, "go with `--wrap`"),
        (("tiny.pt", "--data", "bars.csv"), 2, "go with `--wrap`"),
        (("no-such.pt",), 4, "no-such.pt"),
        ((BARE, "--wrap", "--arch", "no.such:thing"), 4, "no.such"),
        ((BARE, "--wrap", "--arch", FACTORY, "--data", "no-such.csv"), 4, "no-such.csv"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(
    words: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(Path().iterdir())
    assert typed(monkeypatch, "inspect", *words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert sorted(Path().iterdir()) == before
