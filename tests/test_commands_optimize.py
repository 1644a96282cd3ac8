"""`aitrade optimize` as a person types it; latencies are planted, networks are really taught."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from aitrade_cli.model.artefact import Artefact, Exported, OnnxGraph, dump
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.passes.optimize import growing
from aitrade_cli.passes.optimize.ground import prepare_ground
from aitrade_cli.passes.optimize.settings import Settings
from tests.passes_cases import BARS, plant, torch_model, typed, weights

MODEL = "models/tiny.pt"
SMALL = ("--data", str(BARS), "--max-flips", "90%", "--trials", "2", "--budget", "20s")


@pytest.fixture(autouse=True)
def _folder_with_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "models").mkdir()
    (tmp_path / MODEL).write_bytes(weights())
    monkeypatch.setattr(growing, "RUNGS", (1, 1))
    plant(monkeypatch, {"before": 900.0, "source": 900.0})


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def report_of(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    out, _ = capsys.readouterr()
    return next(line["data"] for line in lines_of(out) if line["kind"] == "report")


def test_a_search_ships_one_artefact_with_its_whole_history(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "optimize", MODEL, *SMALL) == 0
    made = load(Path("tiny.optimized.onnx").read_bytes())
    assert isinstance(made.network, OnnxGraph)
    assert made.card.runs_on is not None
    step = made.card.history[-1]
    assert step.command == "optimize"
    assert step.settings["seed"] == 0
    assert len(step.measurements["graph_sha256"]) == 24
    out, err = capsys.readouterr()
    assert max(map(len, out.splitlines())) <= 80
    assert "Nothing beats these" in out
    assert "`quantize` alone" in out
    assert "training, rung 1 of 2" in err
    assert [path.name for path in Path().glob("tiny-*.study/journal.log")] == ["journal.log"]


def test_the_same_command_goes_on_and_pick_writes_another_point(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "optimize", MODEL, *SMALL, "--json") == 0
    first = report_of(capsys)
    assert first["trials_all"] == 2
    more = ("--data", str(BARS), "--max-flips", "90%", "--trials", "3", "--budget", "20s")
    assert typed(monkeypatch, "optimize", MODEL, *more, "--json", "--force") == 0
    second = report_of(capsys)
    assert (second["trials_now"], second["trials_all"]) == (1, 3)
    picked = ("--pick", "1", "-o", "picked.onnx", "--json")
    assert typed(monkeypatch, "optimize", MODEL, *SMALL, *picked) == 0
    third = report_of(capsys)
    assert third["trials_now"] == 0
    assert third["front"][0]["shipped"]
    assert [line["form"] for line in third["front"]] == [line["form"] for line in second["front"]]


def test_a_point_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed(monkeypatch, "optimize", MODEL, *SMALL, "--pick", "1") == 4
    assert "is no study" in capsys.readouterr().err
    assert not list(Path().glob("*.study"))
    assert typed(monkeypatch, "optimize", MODEL, *SMALL) == 0
    assert typed(monkeypatch, "optimize", MODEL, *SMALL, "--pick", "99", "--force") == 2
    assert "`--pick 99` is no point of the front" in capsys.readouterr().err


def test_without_bars_only_the_source_is_tried_and_the_report_says_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ("--max-flips", "90%", "--budget", "5s", "--json")
    assert typed(monkeypatch, "optimize", MODEL, *few) == 0
    report = report_of(capsys)
    assert [line["shape"] for line in report["shapes"]] == ["as it is"]
    assert any("only the source as it is was tried" in note for note in report["notes"])


def test_an_interrupted_search_is_remembered(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> float:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(growing.Nursery, "train", interrupted)
        assert typed(monkeypatch, "optimize", MODEL, *SMALL) == 130
    assert "remembers 1 network" in capsys.readouterr().err
    assert not Path("tiny.optimized.onnx").exists()
    assert typed(monkeypatch, "optimize", MODEL, *SMALL, "--json") == 0
    report = report_of(capsys)
    assert (report["trials_now"], report["trials_all"]) == (1, 2)


def test_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    few = ("--max-flips", "90%", "--budget", "5s", "--plot", "front.svg")
    assert typed(monkeypatch, "optimize", MODEL, *few) == 0
    assert Path("front.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--budget", "soon"), 2, "`soon` is no length of time"),
        (("--minimize", "profit"), 2, "`--minimize profit` is unknown"),
        (("--threads", "none"), 2, "`--threads` is `none`"),
        (("--max-flips", "2"), 2, "flips"),
        (("--graph-only", "--pick", "1"), 2, "`--pick` does nothing beside `--graph-only`"),
        (("--study", "models"), 4, "`models` holds a search with another content, `tiny.pt`"),
        (("--study", "models/tiny.pt/x"), 4, "models/tiny.pt/x"),
    ],
)
def test_bad_words_are_told_before_any_work(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    code: int,
    said: str,
) -> None:
    assert typed(monkeypatch, "optimize", MODEL, *words) == code
    assert said in capsys.readouterr().err
    assert not list(Path().glob("*.study"))


def test_a_file_that_is_there_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("tiny.optimized.onnx").write_bytes(b"precious")
    assert typed(monkeypatch, "optimize", MODEL, *SMALL) == 6
    assert Path("tiny.optimized.onnx").read_bytes() == b"precious"


def test_bars_that_are_judged_on_are_never_taught_or_chosen_on() -> None:
    source = load(weights(), name="tiny.pt")
    ground = prepare_ground(source, Settings(data=str(BARS)))
    sample, material = ground.evidence.sample, ground.nursery.material
    assert sample is not None
    assert material is not None
    assert ground.yard.flips is not None
    assert ground.yard.calibration is not None
    first_judged = int(sample.evaluation.timestamp_ns[0])
    assert material.trained_until_ns < first_judged
    rows = {row.tobytes() for row in sample.evaluation.windows(8)}
    for seen in (
        material.training.windows,
        material.validation.windows,
        ground.yard.flips.windows,
        ground.yard.calibration,
        ground.yard.windows,
    ):
        assert not rows & {window.astype("float32").tobytes() for window in seen}


def test_a_program_that_torch_runs_is_searched_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = torch_model()
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(build(source), (torch.zeros(2, 8, 4),), dynamic_shapes=free)
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    Path("models/program.pt2").write_bytes(dump(Artefact(source.card, Exported(buffer.getvalue()))))
    few = ("--max-flips", "90%", "--budget", "5s")
    assert typed(monkeypatch, "optimize", "models/program.pt2", *few) == 0
    assert "neither cut nor copied from" in capsys.readouterr().out


def test_graph_only_searches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(monkeypatch, "optimize", MODEL, "--graph-only") == 0
    made = load(Path("tiny.graph.onnx").read_bytes())
    assert made.card.history[-1].settings["graph_only"] is True
    assert not list(Path().glob("*.study"))


def test_without_a_rule_nothing_is_cut_or_taught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = torch_model()
    ruleless = replace(source, card=replace(source.card, decision=None))
    Path("models/ruleless.pt").write_bytes(dump(ruleless))
    typed(monkeypatch, "optimize", "models/ruleless.pt", "--data", str(BARS), "--json")
    report = report_of(capsys)
    assert [line["shape"] for line in report["shapes"]] == ["as it is"]
    assert any("count flips by" in note for note in report["notes"])
