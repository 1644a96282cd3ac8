"""`aitrade bench` as a person types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitrade_cli.commands.lists import BadList, counts, words
from tests.shell import aitrade
from tests.test_inference_worker import tiny

QUICK = ("--seconds", "0.02")


@pytest.fixture
def model(tmp_path: Path) -> str:
    (tmp_path / "tiny.onnx").write_bytes(tiny())
    return str(tmp_path / "tiny.onnx")


def test_one_graph_gives_a_screen_of_80_columns(model: str) -> None:
    done = aitrade("bench", model, "--batch", "1,4", *QUICK)
    assert done.returncode == 0, done.stderr
    text = done.stdout.decode()
    assert text.startswith("Batch 1: tiny.onnx in onnxruntime is fastest, ")
    assert max(map(len, text.splitlines())) <= 80
    assert "How it was measured" in text
    assert b"rounds, about" in done.stderr


def test_json_is_one_report_on_stdout_and_progress_on_stderr(model: str) -> None:
    done = aitrade("bench", model, "--json", *QUICK)
    (line,) = done.stdout.splitlines()
    report = json.loads(line)
    assert (report["aitrade"], report["command"], report["kind"]) == (1, "bench", "report")
    (row,) = report["data"]["rows"]
    assert row["model"] == "tiny.onnx"
    assert set(row["latency"]) >= {
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
    assert {json.loads(one)["kind"] for one in done.stderr.splitlines()} == {"progress"}


def test_a_model_can_come_from_a_pipe() -> None:
    done = aitrade("bench", "-", *QUICK, stdin=tiny())
    assert done.returncode == 0, done.stderr


def test_two_files_of_one_name_are_told_apart(model: str) -> None:
    done = aitrade("bench", model, model, "--json", *QUICK)
    rows = json.loads(done.stdout)["data"]["rows"]
    assert [row["model"] for row in rows] == ["tiny.onnx#1", "tiny.onnx#2"]


def test_a_plot_is_written(model: str, tmp_path: Path) -> None:
    done = aitrade("bench", model, "--plot", str(tmp_path / "plot.svg"), *QUICK)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plot.svg").read_bytes().startswith(b"<?xml")


@pytest.mark.parametrize(
    ("more", "code", "message"),
    [
        (("--plot", "plot.pdf"), 2, "`--plot plot.pdf` is no picture we can draw"),
        (("--batch", "1,x"), 2, "`--batch` is `1,x`"),
        (("--threads", "0"), 2, "below 1"),
        (("--runtime", "tensorrt"), 2, "no runtime is called `tensorrt`"),
        (("--runtime", "eager"), 2, "torch does not run ONNX graphs"),
        (("--equivalence",), 2, "compares two models, not 1"),
        (("--data", "bars.parquet"), 2, "`--data` goes with `--equivalence`"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_measured(
    more: tuple[str, ...], code: int, message: str, model: str
) -> None:
    done = aitrade("bench", model, *more)
    assert done.returncode == code
    assert message in done.stderr.decode()
    assert done.stdout == b""


def test_a_file_that_is_not_there_is_named() -> None:
    done = aitrade("bench", "no-such-model.onnx")
    assert done.returncode == 4
    assert b"no-such-model.onnx" in done.stderr


def test_lists_are_read_as_people_type_them() -> None:
    assert counts("1, 256", "--batch") == [1, 256]
    assert words(["a, b", "", "c"]) == ["a", "b", "c"]
    assert words(None) == []


@pytest.mark.parametrize("text", ["", ",", "1.5", "-1", "٣", "1;2"])
def test_a_list_that_is_none_is_quoted(text: str) -> None:
    with pytest.raises(BadList):
        counts(text, "--batch")
