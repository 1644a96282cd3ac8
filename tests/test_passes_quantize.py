"""From one artefact to a smaller one, its verdict inside; latencies are planted."""

# long because one run of the pass is looked at from every side

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from pyarrow import parquet

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.model.artefact import Artefact, OnnxGraph, dump
from aitrade_cli.model.card_data import card_to_dict
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.loading import load
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.quantize.candidates import NoCalibration
from aitrade_cli.passes.quantize.run import (
    NothingQuantized,
    Quantized,
    graph_of,
    quantize_artefact,
)
from aitrade_cli.passes.quantize.settings import Kind, Settings
from aitrade_cli.passes.sample import NoPreprocessing
from aitrade_cli.report.ndjson import to_data
from tests.passes_cases import BARS, bars_inside, digest, graph, onnx_model, plant, torch_model

WAYS: Final = "aitrade_cli.passes.quantize.candidates"
DYNAMIC: Final[frozenset[Kind]] = frozenset(("dynamic",))
FREELY: Final = Budget(max_flips=0.5)  # a toy of 1,923 weights flips more than a real model


def quantized(source: Artefact, settings: Settings) -> Quantized:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        legacy = lambda one, *, exporter: export_onnx(one, exporter="legacy")  # noqa: ARG005, E731
        patch.setattr("aitrade_cli.passes.quantize.run.export_onnx", legacy)  # the quick one of two
        return quantize_artefact(source, settings, "tiny.int8.onnx")


@cache
def plain() -> Quantized:
    return quantized(onnx_model(), Settings(budget=FREELY))


@cache
def from_torch() -> Quantized:
    return quantized(torch_model(), Settings(budget=FREELY))


def parts_of(artefact: Artefact) -> dict[str, Any]:
    """The card as plain data, without what this very step wrote."""
    return {k: v for k, v in card_to_dict(artefact.card).items() if k not in ("history", "arch")}


@pytest.mark.parametrize(("made", "source"), [(plain, onnx_model), (from_torch, torch_model)])
def test_the_file_loads_and_says_all_that_the_source_said(
    made: Callable[[], Quantized], source: Callable[[], Artefact]
) -> None:
    read = load(made().data, name="tiny.int8.onnx")
    assert isinstance(read.network, OnnxGraph)
    assert parts_of(read) == parts_of(source())


def test_history_names_the_parent_the_settings_and_the_verdict() -> None:
    source = onnx_model()
    made = plain()
    *before, step = load(made.data).card.history
    assert tuple(before) == source.card.history
    assert (step.command, step.parent_sha256) == ("quantize", digest(graph()))
    assert step.settings == Settings(budget=FREELY).as_history()
    assert step.measurements["verdict"] == made.report.equivalence.verdict
    assert step.measurements["passed"] is True
    shipped = next(line for line in made.report.candidates if line.shipped)
    assert step.measurements["candidate"] == shipped.name
    assert step.measurements["in_float"] == list(shipped.in_float)
    assert {"aitrade", "onnx", "onnxruntime"} <= set(step.versions)


def test_sizes_are_those_of_what_was_made() -> None:
    made = plain()
    network = load(made.data).network
    assert isinstance(network, OnnxGraph)
    assert made.report.file_bytes == len(made.data)
    assert made.report.onnx_bytes == len(network.proto_bytes)
    # 32x32 + 32, 32x24 + 24, 24x3 + 3 numbers of four bytes.
    assert made.report.float32_bytes == 4 * 1_923
    assert from_torch().report.float32_bytes == 4 * 1_923
    assert made.report.size_ratio == pytest.approx(made.report.onnx_bytes / 7_692)


def test_the_gain_is_that_of_the_planted_latencies() -> None:
    gain = plain().report.equivalence.gain
    assert gain is not None
    assert gain.speedup == pytest.approx(4.5, rel=0.01)  # 900 over 200 microseconds
    assert (gain.size_bytes_before, gain.size_bytes_after) == (7_692, plain().report.onnx_bytes)


def test_all_candidates_are_listed_and_one_ships() -> None:
    lines = plain().report.candidates
    assert {line.name for line in lines} == {
        "dynamic",
        "dynamic, a scale a matrix",
        "static",
        "static, layers only",
    }
    assert [line.shipped for line in lines].count(True) == 1
    assert all(line.reason for line in lines)


def test_the_shipped_file_computes_what_was_judged() -> None:
    _, sample = bars_inside()
    windows = np.ascontiguousarray(sample.evaluation.windows(8), dtype=np.float32)
    card = onnx_model().card
    assert card.decision is not None
    running, source = start(load(plain().data)), start(onnx_model())
    both = [
        np.concatenate([card.decision.positions_of(one.run(w[None])) for w in windows])
        for one in (running, source)
    ]
    found = plain().report.equivalence.decisions
    assert found is not None
    assert found.agreement == pytest.approx((both[0] == both[1]).mean())


def test_the_same_seed_gives_the_same_bytes() -> None:
    again = quantized(onnx_model(), Settings(budget=FREELY))
    assert again.data == plain().data
    assert to_data(again.report) == to_data(plain().report)


@pytest.mark.parametrize("bits", ["int4", "fp16", "bf16"])
def test_other_widths_come_from_the_same_path(bits: Any) -> None:
    made = quantized(onnx_model(), Settings(bits=bits, budget=FREELY))
    assert made.report.bits == bits
    assert load(made.data).card.history[-1].settings["bits"] == bits
    if bits != "int4":  # blocks of a toy cost more than they save
        assert made.report.size_ratio < 0.9


def test_a_tight_budget_leaves_layers_in_float_and_names_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two layers are all that this perceptron has: one in float is more than half of it.
    monkeypatch.setattr("aitrade_cli.passes.quantize.choice.LEAST_MENDED", 0.0)
    made = quantized(onnx_model(), Settings())
    shipped = next(line for line in made.report.candidates if line.shipped)
    assert shipped.in_float
    assert shipped.flips is not None
    assert shipped.flips <= 0.007
    assert load(made.data).card.history[-1].measurements["in_float"] == list(shipped.in_float)
    assert all(layer in shipped.reason for layer in shipped.in_float)


def test_both_equity_curves_are_handed_back() -> None:
    before, after = plain().equities
    assert (before.name, after.name) == ("tiny.onnx", "tiny.int8.onnx")
    assert len(before.equity) == len(after.equity) > 200


def times(factor: float) -> Callable[..., OnnxGraph]:
    """A technique that multiplies all outputs, whatever it is told to keep."""

    def wreck(model: OnnxGraph, *_: Any, **__: Any) -> OnnxGraph:
        proto = onnx.load_from_string(model.proto_bytes)
        last = next(node for node in proto.graph.node if "logits" in node.output)
        last.output[list(last.output).index("logits")] = "sound"
        proto.graph.node.append(helper.make_node("Mul", ["sound", "factor"], ["logits"]))
        number = numpy_helper.from_array(np.array(factor, dtype=np.float32), "factor")
        proto.graph.initializer.append(number)
        return OnnxGraph(proto.SerializeToString())

    return wreck


@pytest.mark.parametrize("factor", [-1.0, float("nan"), float("inf")])
def test_a_wrecked_model_is_not_passed_and_still_written(
    factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", times(factor))
    strict = Settings(kinds=DYNAMIC, budget=Budget(max_flips=0.01))
    made = quantized(onnx_model(), strict)
    assert not made.report.passed
    assert made.report.equivalence.verdict.startswith("Not equivalent")
    step = load(made.data).card.history[-1]
    assert step.measurements["passed"] is False
    assert step.measurements["verdict"] == made.report.equivalence.verdict
    assert "none is better" in made.report.candidates[0].reason
    to_data(made.report)  # no number in it is infinite or none at all


def test_without_a_budget_a_wrecked_model_is_called_what_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", times(-1.0))
    made = quantized(onnx_model(), Settings(kinds=DYNAMIC))
    assert made.report.equivalence.trades_the_same is False
    assert not made.report.equivalence.verdict.startswith("Trades the same")


def failing(error: Exception) -> Callable[..., OnnxGraph]:
    def fail(*_: Any, **__: Any) -> OnnxGraph:
        raise error

    return fail


def test_where_nothing_can_be_built_every_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(f"{WAYS}.quantize_dynamic", failing(RuntimeError("no kernel")))
    monkeypatch.setattr(f"{WAYS}.quantize_static", failing(ValueError("no range")))
    with pytest.raises(NothingQuantized) as caught:
        quantized(onnx_model(), Settings())
    assert caught.value.exit_code == 4
    assert "dynamic: RuntimeError: no kernel" in str(caught.value)
    assert "static: ValueError: no range" in str(caught.value)


def without(*parts: str) -> Artefact:
    bare = onnx_model()
    card = replace(bare.card, **dict.fromkeys(parts))
    return load(dump(replace(bare, card=card)), name="bare.onnx")


def test_without_a_sample_the_gates_that_need_bars_are_named() -> None:
    made = quantized(without("sample"), Settings(kinds=DYNAMIC))
    assert made.report.equivalence.gate("decisions").status == "not_run"
    assert made.report.chosen_on_windows == 0
    assert made.equities == ()
    assert any("no `--data`" in note for note in made.report.notes)


def test_bars_can_come_from_a_file_instead(tmp_path: Path) -> None:
    bars = parquet.read_table(BARS)
    parquet.write_table(bars.slice(len(bars) - 1_320), tmp_path / "late.parquet")
    settings = Settings(kinds=DYNAMIC, data=str(tmp_path / "late.parquet"), budget=FREELY)
    made = quantized(without("sample"), settings)
    found = made.report.equivalence.evaluated
    assert found is not None
    assert found.symbol == "late"
    assert found.bars >= 1_024
    assert load(made.data).card.sample is None  # what came in without bars goes out without


def test_without_a_rule_speed_alone_chooses() -> None:
    made = quantized(without("decision"), Settings(kinds=DYNAMIC))
    assert all(line.flips is None for line in made.report.candidates)
    assert made.report.equivalence.trades_the_same is None


def test_static_without_bars_is_refused() -> None:
    only: frozenset[Kind] = frozenset(("static",))
    with pytest.raises(NoCalibration, match="no sample inside"):
        quantized(without("sample"), Settings(kinds=only))


def test_bad_bars_are_told_before_the_export(monkeypatch: pytest.MonkeyPatch) -> None:
    def exported(*_: Any, **__: Any) -> Any:
        pytest.fail("the export was begun")

    monkeypatch.setattr("aitrade_cli.passes.quantize.run.export_onnx", exported)
    bare = replace(torch_model(), card=replace(torch_model().card, preprocessing=None))
    with pytest.raises(NoPreprocessing):
        quantize_artefact(bare, Settings(data=str(BARS)), "out.onnx")


def test_a_sample_too_short_to_calibrate_on_says_so() -> None:
    card, sample = bars_inside()
    # Ten windows of eight rows: any two groups that share no row leave none to calibrate on.
    short = replace(sample, calibration_rows=17)
    source = replace(onnx_model(), card=replace(onnx_model().card, sample=short))
    assert card.window == 8
    only: frozenset[Kind] = frozenset(("static",))
    with pytest.raises(NoCalibration, match="too few bars for windows of 8"):
        quantized(source, Settings(kinds=only))
    assert quantized(source, Settings(kinds=DYNAMIC)).report.chosen_on_windows == 10


def test_what_is_widened_when_opened_is_said() -> None:
    made = quantized(onnx_model(), Settings(bits="fp16", budget=FREELY))
    assert any("widened to float32" in note for note in made.report.notes)
    assert not any("widened" in note for note in plain().report.notes)


def test_a_graph_is_wanted_where_a_graph_is_wanted() -> None:
    with pytest.raises(TypeError, match=r"tiny\.pt is no ONNX graph"):
        graph_of(torch_model())


def test_what_happens_is_told_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    said: list[str] = []
    quantize_artefact(onnx_model(), Settings(kinds=DYNAMIC, budget=FREELY), "o.onnx", said.append)
    assert said[0] == "exporting to ONNX"
    assert said.index("building dynamic") < said.index("judging the one that ships")
