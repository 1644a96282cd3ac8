"""What an artefact says of how it wants to be run: it survives every file, and is honoured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from aitrade_cli.model.artefact import Artefact, dump
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.card_data import BadCard, card_from_dict, card_to_dict
from aitrade_cli.model.inspection import inspect_artefact
from aitrade_cli.model.loading import load
from aitrade_cli.model.runtimes import start, wish
from aitrade_cli.model.runtimes.openvino import SHAPES_MAX, OpenVinoRuntime
from aitrade_cli.model.runtimes.wish import Way, way_of
from aitrade_cli.report.blocks import view
from tests.passes_cases import FEATURES, WINDOW, graph, onnx_model, torch_model, weights

BFLOAT16 = RunsOn("openvino", 2, "bfloat16")


def wishing(artefact: Artefact, runs_on: RunsOn | None) -> Artefact:
    return replace(artefact, card=replace(artefact.card, runs_on=runs_on))


def windows(count: int) -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, WINDOW, len(FEATURES))).astype(np.float32)


@pytest.mark.parametrize("make", [torch_model, onnx_model])
@pytest.mark.parametrize(
    "wanted", [BFLOAT16, RunsOn("compile"), RunsOn("aoti", 1, "float32", ("x",))]
)
def test_the_wish_survives_the_file(make: Callable[[], Artefact], wanted: RunsOn) -> None:
    data = dump(wishing(make(), wanted))
    assert load(data).card.runs_on == wanted


def test_a_file_without_a_wish_keeps_its_bytes() -> None:
    assert dump(wishing(load(weights()), None)) == weights()
    assert "runs_on" not in card_to_dict(load(graph()).card)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"runtime": "../../x"}, "`runtime` is"),
        ({"threads": 0}, "`threads` is 0"),
        ({"threads": 10**9}, "`threads` is"),
        ({"precision": "int8"}, "`precision` is 'int8'"),
        ({"instructions": [1]}, "`instructions` holds"),
        ({"threads": "two"}, "`threads` is str"),
    ],
)
def test_a_damaged_wish_is_refused(part: dict[str, object], words: str) -> None:
    data = card_to_dict(wishing(onnx_model(), BFLOAT16).card)
    with pytest.raises(BadCard, match=words):
        card_from_dict({**data, "runs_on": {**data["runs_on"], **part}})


def test_inspect_shows_it() -> None:
    artefact = wishing(onnx_model(), BFLOAT16)
    report = inspect_artefact(artefact, b"")
    assert report.runs_on == BFLOAT16
    assert "openvino, 2 threads, bfloat16" in repr(list(view(report)))


def test_auto_takes_what_the_card_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wish, "has_bfloat16", lambda: True)
    assert way_of(wishing(onnx_model(), BFLOAT16)) == Way("openvino", 2, "bfloat16")
    assert way_of(wishing(onnx_model(), BFLOAT16), threads=1).threads == 1
    assert start(wishing(onnx_model(), BFLOAT16)).name == "openvino"
    assert way_of(onnx_model()) == Way("onnxruntime", 1)
    assert way_of(torch_model()) == Way("eager", 1)


def test_a_runtime_asked_for_by_name_is_taken_as_it_is() -> None:
    assert way_of(wishing(onnx_model(), BFLOAT16), "onnxruntime") == Way("onnxruntime", 1)


def test_a_runtime_that_is_missing_falls_back_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    starting = import_module("aitrade_cli.model.runtimes.start")  # a function has that name too
    monkeypatch.setattr(starting, "why_not", lambda _: "not installed")
    way = way_of(wishing(onnx_model(), BFLOAT16))
    assert (way.runtime, way.threads, way.precision) == ("onnxruntime", 1, "float32")
    assert "wants `openvino`, which cannot run here (not installed)" in way.note


def test_a_runtime_for_other_files_falls_back() -> None:
    way = way_of(wishing(torch_model(), BFLOAT16))
    assert way.runtime == "eager"
    assert "it runs other files" in way.note


def test_a_cpu_without_bfloat16_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wish, "has_bfloat16", lambda: False)
    way = way_of(wishing(onnx_model(), BFLOAT16))
    assert way.precision == "float32"
    assert "this CPU lacks" in way.note


def test_openvino_computes_in_float32_unless_told() -> None:
    proto = load(graph()).network.proto_bytes  # type: ignore[union-attr]
    expected = start(onnx_model(), "onnxruntime")
    plain = OpenVinoRuntime(proto)
    for count in (1, 3):
        assert plain.run(windows(count)) == pytest.approx(expected.run(windows(count)), abs=1e-5)


def test_openvino_compiles_for_a_few_shapes_and_shares_the_rest() -> None:
    proto = load(graph()).network.proto_bytes  # type: ignore[union-attr]
    runtime, eager = OpenVinoRuntime(proto), start(torch_model())
    for count in range(1, SHAPES_MAX + 4):
        found = runtime.run(windows(count))
        assert found == pytest.approx(eager.run(windows(count)), abs=1e-5)
    assert len(runtime._requests) == SHAPES_MAX


def test_an_answer_is_the_caller_s_own() -> None:
    proto = load(graph()).network.proto_bytes  # type: ignore[union-attr]
    runtime = OpenVinoRuntime(proto)
    first = runtime.run(windows(1))
    kept = first.copy()
    runtime.run(windows(1) + 1)
    assert np.array_equal(first, kept)
