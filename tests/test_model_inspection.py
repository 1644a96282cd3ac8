"""What `inspect` says of a file is what is in the file."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from math import prod

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from aitrade_cli.model.artefact import Artefact, OnnxGraph, Script, TorchWeights
from aitrade_cli.model.card import Card, Decision, TensorSpec
from aitrade_cli.model.inspection import Inspection, day, inspect_artefact
from aitrade_cli.model.provenance import record
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from aitrade_cli.report.ndjson import to_data
from tests.passes_cases import bars_inside, digest, graph, onnx_model, torch_model, weights

ENDS = (TensorSpec("window", ("batch", "time", 4)),), (TensorSpec("logits", ("batch", 3)),)


def screen(report: Inspection) -> str:
    stream = io.StringIO()
    draw(view(report), stream)
    return stream.getvalue()


def bare(state: dict[str, torch.Tensor]) -> Inspection:
    return inspect_artefact(Artefact(Card(*ENDS), TorchWeights(state), name="bare.pt"), b"bytes")


def of_graph(*stored: TensorProto) -> Inspection:
    nodes = [helper.make_node("Relu", ["window"], ["a"]), helper.make_node("Relu", ["a"], ["b"])]
    nodes.append(helper.make_node("Identity", ["b"], ["logits"]))
    proto = helper.make_model(helper.make_graph(nodes, "g", [], [], list(stored)))
    network = OnnxGraph(proto.SerializeToString())
    return inspect_artefact(Artefact(Card(*ENDS), network, name="g.onnx"), b"")


def test_a_torch_model_is_described_to_the_last_number() -> None:
    report = inspect_artefact(torch_model(), weights())
    assert report.kind == "torch weights (.pt)"
    assert (report.size_bytes, report.sha256) == (len(weights()), digest(weights()))
    assert (report.parameters, report.weight_bytes) == (1_923, 4 * 1_923)
    assert report.parameters_by_dtype == {"float32": 1_923}
    assert (report.arch, report.operators) == ("mlp", {})
    assert {line.name: line.shape for line in report.tensors}["head.weight"] == (3, 24)


def test_an_onnx_graph_tells_its_operators_and_the_same_card() -> None:
    report = inspect_artefact(onnx_model(), graph())
    assert report.kind == "ONNX graph (.onnx)"
    assert report.operators == {"Gemm": 3, "Relu": 2, "Flatten": 1}
    assert report.parameters == 1_923
    of_torch = inspect_artefact(torch_model(), weights())
    assert report.preprocessing == of_torch.preprocessing
    assert report.decision == of_torch.decision
    assert report.sample == of_torch.sample


def test_the_sample_is_counted_in_windows() -> None:
    _, sample = bars_inside()
    line = inspect_artefact(onnx_model(), graph()).sample
    assert line is not None
    assert (line.calibration_windows, line.gap_rows, line.evaluation_windows) == (96, 8, 256)
    assert line.first == day(int(sample.series.timestamp_ns[0]))
    assert line.source_sha256 == sample.source_sha256


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), max_size=20))
@settings(max_examples=25)
def test_parameters_and_bytes_add_up(shapes: list[list[int]]) -> None:
    report = bare({f"w{at}": torch.zeros(shape) for at, shape in enumerate(shapes)})
    numbers = sum(prod(shape) for shape in shapes)
    assert (report.parameters, report.weight_bytes) == (numbers, 4 * numbers)
    assert sum(line.size_bytes for line in report.tensors) == 4 * numbers
    assert screen(report)


def test_kinds_of_numbers_are_told_apart() -> None:
    state = {
        "a": torch.zeros(5, dtype=torch.float16),
        "b": torch.zeros(7, dtype=torch.int8),
        "c": torch.zeros(2),
    }
    report = bare(state)
    assert report.parameters_by_dtype == {"float16": 5, "int8": 7, "float32": 2}
    assert report.weight_bytes == 5 * 2 + 7 + 2 * 4


@pytest.mark.parametrize(
    ("kind", "numbers", "size"),
    [
        (TensorProto.FLOAT, 4, 16),
        (TensorProto.DOUBLE, 3, 24),
        (TensorProto.INT64, 2, 16),
        (TensorProto.INT8, 5, 5),
        (TensorProto.FLOAT16, 5, 10),
        (TensorProto.INT4, 5, 3),
    ],
)
def test_numbers_that_are_spelt_out_take_no_more_than_their_width(
    kind: int, numbers: int, size: int
) -> None:
    tensor = helper.make_tensor("w", kind, [numbers], [1] * numbers)
    assert not tensor.raw_data
    report = of_graph(tensor)
    assert (report.weight_bytes, report.tensors[0].shape) == (size, (numbers,))


def test_a_tensor_without_numbers_takes_no_bytes() -> None:
    report = of_graph(numpy_helper.from_array(np.zeros((0, 3), np.float32), "w"))
    assert (report.weight_bytes, report.parameters) == (0, 0)


def test_operators_stand_in_order_of_their_number() -> None:
    assert list(of_graph().operators.items()) == [("Relu", 2), ("Identity", 1)]


def test_what_cannot_be_counted_is_not_guessed() -> None:
    report = inspect_artefact(Artefact(Card(*ENDS), Script(b"zip"), name="old.pt"), b"zip")
    assert report.kind == "TorchScript archive"
    assert (report.parameters, report.weight_bytes, report.tensors) == (None, None, ())


def test_the_screen_says_what_is_not_recorded() -> None:
    text = screen(bare({"w": torch.zeros(3)}))
    assert "Not recorded" in text
    assert "preprocessing, decision rule, sample" in text
    assert "nothing is recorded" in text
    assert "Not recorded" not in screen(inspect_artefact(onnx_model(), graph()))


def test_the_screen_keeps_to_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = screen(inspect_artefact(torch_model(), weights()))
    assert max(map(len, text.splitlines())) <= 80
    assert "96 windows to" in text
    assert "position of the largest output: -1, 0, 1" in text


def test_a_threshold_is_put_into_words() -> None:
    card = replace(Card(*ENDS), decision=Decision("threshold", threshold=0.25))
    report = inspect_artefact(Artefact(card, TorchWeights({})), b"")
    assert "long above 0.25, short below -0.25, else flat" in screen(report)


def test_history_reads_like_a_list() -> None:
    parent = torch_model()
    made = record(parent, parent, "wrap", {"seed": 1, "deep": {"not": "shown"}}, {})
    report = inspect_artefact(made, b"")
    assert f"1. wrap from {digest(weights())[:12]}: seed=1" in screen(report)


def test_only_the_largest_tensors_are_shown() -> None:
    text = screen(bare({f"w{at}": torch.zeros(at + 1) for at in range(20)}))
    assert "8 smaller ones not shown" in " ".join(text.split())
    assert "w19" in text
    assert "w0 " not in text


@pytest.mark.parametrize("make", [torch_model, onnx_model])
def test_the_report_is_plain_data(make: Callable[[], Artefact]) -> None:
    data = to_data(inspect_artefact(make(), b"x"))
    assert data["size_bytes"] == 1
    assert set(data["sample"]) >= {"symbol", "calibration_windows", "evaluation_windows"}


def test_days_are_utc() -> None:
    assert day(1_420_070_400 * 10**9) == "2015-01-01 00:00Z"
