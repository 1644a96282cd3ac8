"""`aitrade bench` as a person types it; most of it in process, where it is the same and faster."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.commands.bench import bench
from aitrade_cli.commands.lists import BadList, counts, words
from aitrade_cli.errors import Usage
from tests.shell import aitrade
from tests.test_inference_worker import tiny


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "tiny.onnx").write_bytes(tiny())
    return str(tmp_path / "tiny.onnx")


def test_a_piped_graph_gives_a_screen_of_80_columns() -> None:
    done = aitrade("bench", "-", "--batch", "1,4", "--seconds", "0.02", stdin=tiny())
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.startswith("Batch 1: stdin in onnxruntime is fastest, ")
    assert max(map(len, text.splitlines())) <= 80
    assert "How it was measured" in text
    assert b"rounds, about" in done.stderr


def test_json_is_one_report_on_stdout_and_progress_on_stderr(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(
        [model, model],
        seconds=0.02,
        runtime="onnxruntime",
        as_json=True,
        plot=str(tmp_path / "plot.svg"),
    )
    out, err = capsys.readouterr()
    (line,) = out.splitlines()
    report = json.loads(line)
    assert (report["aitrade"], report["command"], report["kind"]) == (1, "bench", "report")
    first, second = report["data"]["rows"]
    assert (first["model"], second["model"]) == ("tiny.onnx#1", "tiny.onnx#2")
    assert set(first["latency"]) >= {
        "latency_us_p50",
        "latency_us_p99",
        "throughput_per_second",
        "peak_memory_bytes",
        "size_bytes",
        "threads",
        "batch",
        "runs",
        "device",
    }
    assert {json.loads(one)["kind"] for one in err.splitlines()} == {"progress"}
    assert (tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"plot": "plot.pdf"}, "`--plot plot.pdf` is no picture we can draw"),
        ({"batch": "1,x"}, "`--batch` is `1,x`"),
        ({"threads": "0"}, "below 1"),
        ({"runtime": "caffe"}, "no runtime is called `caffe`"),
        ({"runtime": "eager"}, "torch does not run ONNX graphs"),
        ({"equivalence": True}, "compares two models, not 1"),
        ({"data": "bars.parquet"}, "`--data` goes with `--equivalence`"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(
    wish: dict[str, Any], message: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Usage, match=message):
        bench([model], **wish)
    assert capsys.readouterr().out == ""


def test_a_file_that_is_not_there_is_named() -> None:
    done = aitrade("bench", "no-such-model.onnx")
    assert done.returncode == 4
    assert b"no-such-model.onnx" in done.stderr


def test_two_equal_models_are_judged_after_they_are_measured(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bench([model, model], seconds=0.02, equivalence=True, as_json=True)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "rows" in first["data"]
    gates = {gate["name"]: gate["status"] for gate in second["data"]["gates"]}
    assert gates["parity"] == "held"


def test_lists_are_read_as_people_type_them() -> None:
    assert counts("1, 256", "--batch") == [1, 256]
    assert words(["a, b", "", "c"]) == ["a", "b", "c"]
    assert words(None) == []


@pytest.mark.parametrize("text", ["", ",", "1.5", "-1", "٣", "1;2"])
def test_a_list_that_is_none_is_quoted(text: str) -> None:
    with pytest.raises(BadList):
        counts(text, "--batch")
