"""`aitrade compile` and what other commands do with machine code, as typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitrade_cli.files import sha256
from aitrade_cli.model.loading import load
from tests.compile_cases import forbid_loading, package
from tests.passes_cases import plant, typed, weights


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    Path("tiny.pt").write_bytes(weights())
    Path("code.pt2").write_bytes(package())
    return tmp_path


def test_the_winner_is_written_and_named(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, {"the source": 900.0, "before": 900.0})
    code = typed(
        monkeypatch, "compile", "tiny.pt", "--backend", "onnxruntime", "--batch", "1", "--json"
    )
    assert code == 0
    told = json.loads(capsys.readouterr().out.splitlines()[0])["data"]
    assert told["output"] == "tiny.compiled.onnx"
    made = load((here / "tiny.compiled.onnx").read_bytes())
    assert made.card.runs_on is not None
    assert made.card.runs_on.runtime == "onnxruntime"


def test_no_gain_writes_nothing_and_exits_1(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aitrade_cli.model.compilation.graphs import graph_backend
    from aitrade_cli.passes.compile.settings import CompileSettings

    monkeypatch.setattr(CompileSettings, "wanted", lambda _: (graph_backend("onnxruntime"),))
    plant(monkeypatch, {"the source": 100.0}, other=300.0)
    assert typed(monkeypatch, "compile", "tiny.pt", "--batch", "1") == 1
    assert not list(here.glob("*.compiled.*"))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--backend", "tvm"), 2),
        (("--precision", "int8"), 2),
        (("--batch", "0"), 2),
        (("-o", "tiny.pt"), 6),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_built(
    here: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int
) -> None:
    def never(*_args: object) -> None:
        pytest.fail("it was built")

    monkeypatch.setattr("aitrade_cli.passes.compile.run.compile_artefact", never)
    assert typed(monkeypatch, "compile", "tiny.pt", *words) == code
    assert (here / "tiny.pt").read_bytes() == weights()


@pytest.mark.parametrize(
    "words",
    [
        ("quantize", "code.pt2", "--int8"),
        ("compile", "code.pt2"),
        ("export-onnx", "code.pt2"),
    ],
)
def test_machine_code_cannot_be_changed_and_names_its_parent(
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
) -> None:
    forbid_loading(monkeypatch)
    # The gates would run it first; that is refused for its own reason.
    monkeypatch.setattr("aitrade_cli.model.runtimes.aoti.is_recorded", lambda _: False)
    assert typed(monkeypatch, *words) == 4
    assert "tiny.pt" in capsys.readouterr().err
    assert here.exists()


def test_bench_refuses_machine_code_that_nobody_vouches_for(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forbid_loading(monkeypatch)
    assert typed(monkeypatch, "bench", "code.pt2") == 6
    digest = sha256((here / "code.pt2").read_bytes())
    assert f"--trust-native {digest}" in capsys.readouterr().err


def test_inspect_shows_machine_code_without_loading_it(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forbid_loading(monkeypatch)
    assert typed(monkeypatch, "inspect", "code.pt2") == 0
    assert "native library" in capsys.readouterr().out
    assert here.exists()
