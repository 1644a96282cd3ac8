"""`aitrade quantize` as a person types it; latencies are planted."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.loading import load
from aitrade_cli.passes.quantize.run import Quantized
from tests.passes_cases import graph, plant, typed
from tests.shell import aitrade

LOOSE = ("--int8", "--dynamic", "--max-flips", "50%")


@pytest.fixture(autouse=True)
def _folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "tiny.onnx").write_bytes(graph())
    plant(monkeypatch)


@pytest.fixture
def unworked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test where the long work is begun."""

    def begun(*_: Any, **__: Any) -> Quantized:
        pytest.fail("quantization was begun")

    monkeypatch.setattr("aitrade_cli.passes.quantize.run.quantize_artefact", begun)


MODEL = "models/tiny.onnx"


def test_the_derived_name_lands_in_the_current_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE) == 0
    assert isinstance(load(Path("tiny.int8.onnx").read_bytes()).network, OnnxGraph)
    assert sorted(path.name for path in Path("models").iterdir()) == ["tiny.onnx"]
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "tiny.onnx -> tiny.int8.onnx" in out
    assert "> dynamic" in out
    assert "quantize: building dynamic" in err


def test_the_width_is_in_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "quantize", MODEL, "--bf16", "--max-flips", "50%") == 0
    assert Path("tiny.bf16.onnx").is_file()


@pytest.mark.usefixtures("unworked")
def test_a_file_that_is_there_is_refused_before_the_long_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("tiny.int8.onnx").write_bytes(b"precious")
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE) == 6
    assert Path("tiny.int8.onnx").read_bytes() == b"precious"
    assert "`tiny.int8.onnx` already exists" in capsys.readouterr().err


def test_force_replaces_it(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tiny.int8.onnx").write_bytes(b"old")
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE, "--force") == 0
    assert load(Path("tiny.int8.onnx").read_bytes()).card.history[-1].command == "quantize"


def test_a_pipe_in_and_a_pipe_out(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(graph())))
    assert typed(monkeypatch, "quantize", "-", *LOOSE, "-o", "-") == 0
    out, err = capsysbinary.readouterr()
    assert isinstance(load(out).network, OnnxGraph)  # nothing but the artefact
    assert b"Candidates" in err
    assert [path.name for path in Path().iterdir()] == ["models"]


def test_json_is_one_line_with_the_fields_of_the_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE, "--json") == 0
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    report = json.loads(line)
    assert (report["aitrade"], report["command"], report["kind"]) == (1, "quantize", "report")
    data = report["data"]
    assert set(data) >= {"size_ratio", "passed", "candidates", "equivalence", "onnx_bytes", "notes"}
    assert data["passed"] is True
    assert data["equivalence"]["verdict"].startswith("Trad")
    assert set(data["candidates"][0]) >= {"name", "latency_us_p50", "flips", "shipped", "reason"}
    assert {json.loads(one)["kind"] for one in err.splitlines()} == {"progress"}


def test_a_missed_budget_exits_1_and_still_writes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # The toy flips a bar or two of 256; a Sharpe may not fall by anything at all.
    words = ("--int8", "--static", "--max-flips", "0", "--max-sharpe-drop", "0")
    assert typed(monkeypatch, "quantize", MODEL, *words) in {0, 1}
    step = load(Path("tiny.int8.onnx").read_bytes()).card.history[-1]
    assert step.measurements["verdict"].split(".")[0].split(",")[0] in capsys.readouterr().out


def test_the_exit_code_is_that_of_the_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*LOOSE, "--max-side-flips", "0")
    code = typed(monkeypatch, "quantize", MODEL, *words, "--json")
    data = json.loads(capsys.readouterr().out)["data"]
    flipped = data["equivalence"]["decisions"]["side_flips"]
    assert flipped > 0  # else this test shows nothing
    assert code == 1
    assert data["passed"] is False
    step = load(Path("tiny.int8.onnx").read_bytes()).card.history[-1]
    assert step.measurements["passed"] is False


@pytest.mark.parametrize("name", ["plot.svg", "plot.html"])
def test_a_plot_is_drawn_beside_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE, "--plot", name) == 0
    assert "equity before and after" in Path(name).read_text() or Path(name).stat().st_size > 5_000


@pytest.mark.usefixtures("unworked")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "found none of them"),
        (("--int8", "--fp16"), 2, "`--int8` and `--fp16`"),
        (("--static", "--int4"), 2, "go with `--int8`"),
        (("--int8", "--calibration", "mse"), 2, "`mse`"),
        (("--int8", "--plot", "plot.pdf"), 2, "`--plot plot.pdf` is no picture"),
        (("--int8", "--max-flips", "many"), 2, "many"),
        (("--int8", "--fee-bps", "-1"), 2, "fee-bps"),
        (("--int8", "-o", "no/such/folder.onnx"), 4, "no/such/folder.onnx"),
        (("--int8", "--trust-pickle"), 2, "trust-pickle"),
    ],
)
def test_what_makes_no_sense_is_said_before_the_long_work(
    words: tuple[str, ...],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert typed(monkeypatch, "quantize", MODEL, *words) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert "Traceback" not in err


def test_static_without_bars_ends_with_4_and_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    artefact = load(graph())
    assert isinstance(artefact.network, OnnxGraph)
    Path("bare.onnx").write_bytes(artefact.network.proto_bytes)  # a stranger's graph, no card
    assert typed(monkeypatch, "quantize", "bare.onnx", "--int8", "--static") == 4
    err = capsys.readouterr().err
    assert "`--static` has nothing to calibrate on" in err
    assert "hint: give bars with `--data BARS`" in err
    assert not Path("bare.int8.onnx").exists()


def test_a_model_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "quantize", "no-such.pt", "--int8") == 4
    assert "no-such.pt" in capsys.readouterr().err


def test_an_option_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AITRADE_OUTPUT", "from-env.onnx")
    assert typed(monkeypatch, "quantize", MODEL, *LOOSE) == 0
    assert Path("from-env.onnx").is_file()


def test_the_program_itself_does_it_with_real_processes(tmp_path: Path) -> None:
    done = aitrade("quantize", MODEL, "--fp16", "--json", cwd=tmp_path)
    assert done.returncode in {0, 1}, done.stderr  # a toy may be no faster: that is a verdict
    data = json.loads(done.stdout)["data"]
    assert data["equivalence"]["gain"]["latency_us_before"] > 0
    assert (tmp_path / "tiny.fp16.onnx").stat().st_size == data["file_bytes"]
