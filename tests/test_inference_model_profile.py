"""A model's profile: operators of the real runtimes, latencies that are planted."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from aitrade_cli.inference import model_profile
from aitrade_cli.inference.model_profile import ALL, ONE, inputs, on_scale, profile_model
from aitrade_cli.inference.model_profile_report import ModelProfile, OperatorLine, verdicts_of
from aitrade_cli.inference.operator_times import Turn, nodes_in, torch_outputs
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from tests.inference_simulation import simulate
from tests.passes_cases import WINDOW, Planted, onnx_model, torch_model, typed, weights


def planted(artefact: Artefact, one: float, every: float, batch: int = 1) -> ModelProfile:
    launch, _ = simulate(Planted({ONE: one, ALL: every}, 200.0))
    return profile_model(artefact, batch=batch, launch=launch)


@cache
def of_torch() -> ModelProfile:
    return planted(torch_model(), 10_000.0, 12_000.0)


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_profile, "usable_cores", lambda: frozenset((0, 1)))


def test_the_operators_of_a_torch_model_are_there_with_their_shares() -> None:
    profile = of_torch()
    kinds = {line.kind for line in profile.operators}
    assert "aten::addmm" in kinds  # a linear layer
    products = next(line for line in profile.operators if line.kind == "aten::addmm")
    assert products.calls == 3  # two hidden layers and the last
    assert sum(line.share for line in profile.operators) == pytest.approx(1.0)
    times = [line.microseconds for line in profile.operators]
    assert times == sorted(times, reverse=True)
    assert profile.runtime == "eager"


def test_the_operators_of_a_graph_are_those_of_its_nodes() -> None:
    artefact = onnx_model()
    profile = planted(artefact, 10_000.0, 12_000.0)
    assert profile.runtime == "onnxruntime"
    assert {line.kind for line in profile.operators} & {"Gemm", "FusedGemm", "MatMul"}
    assert profile.largest_output_bytes is None
    assert profile.outputs_reason is not None
    assert profile.macs == of_torch().macs  # the same network, counted from shapes of the graph


def test_outputs_and_macs_are_those_that_the_shapes_say() -> None:
    artefact = torch_model()
    window = inputs(artefact, 2, 0)
    assert window.shape == (2, WINDOW, 4)
    sizes = torch_outputs(artefact, window)
    assert 2 * 32 * 4 in sizes  # the first hidden layer, float32
    assert of_torch().macs == WINDOW * 4 * 32 + 32 * 24 + 24 * 3


def test_batches_that_are_longer_than_the_sample_repeat_it() -> None:
    assert len(inputs(torch_model(), 5_000, 0)) == 5_000


def test_what_lies_outside_the_operators_is_a_share_of_the_latency() -> None:
    profile = of_torch()
    assert profile.outside_share == pytest.approx(
        1.0 - profile.operators_us / profile.latency.latency_us_p50
    )
    assert (
        verdicts_of(replace(profile, outside_share=0.6))[0].command
        == "aitrade compile tiny.pt --batch 1"
    )


def line(kind: str, share: float) -> OperatorLine:
    return OperatorLine(kind, 1.0, share * 100, share)


def test_products_that_take_most_are_to_be_quantized() -> None:
    operators = (line("aten::mkldnn_rnn_layer", 0.8), line("aten::tanh", 0.2))
    profile = replace(of_torch(), operators=operators, outside_share=0.1, path="m/lstm.pt")
    assert profile.product_share == 0.8
    assert [one.command for one in verdicts_of(profile)] == ["aitrade quantize m/lstm.pt --int8"]


def test_threads_are_named_only_where_they_were_measured_to_be_faster() -> None:
    quicker = planted(torch_model(), 900.0, 400.0)
    assert any("--threads 1,2" in str(one.command) for one in quicker.verdicts)
    assert not any("--threads" in str(one.command) for one in of_torch().verdicts)


def test_where_nothing_leads_nothing_is_to_be_mended() -> None:
    operators = (line("aten::tanh", 0.6), line("aten::addmm", 0.4))
    (only,) = verdicts_of(replace(of_torch(), operators=operators, outside_share=0.1))
    assert only.command is None
    assert "`aten::tanh` leads with 60 %" in only.said


def test_nodes_are_counted_over_whole_runs() -> None:
    def run(at: int, took: float) -> list[dict[str, object]]:
        name = {"name": "a_kernel_time", "cat": "Node", "args": {"op_name": "Gemm"}}
        return [{"name": "model_run", "ts": at}, {**name, "ts": at + 1, "dur": took}]

    events = [event for at in range(6) for event in run(at * 10, 9.0 if at < 4 else 2.0)]
    assert nodes_in(events, 2)[1:] == [
        [OperatorLine("Gemm", 1.0, 9.0, 0.0)],
        [OperatorLine("Gemm", 1.0, 2.0, 0.0)],
    ]


def test_shares_add_up_and_no_operator_is_no_error() -> None:
    assert on_scale(Turn([], 5.0), 10.0) == ()
    found = on_scale(Turn([line("a", 0.01), line("b", 0.03)], 8.0), 10.0)
    assert [(one.kind, one.share) for one in found] == [("b", 0.75), ("a", 0.25)]
    assert sum(one.microseconds for one in found) == pytest.approx(5.0)  # half of a call, 4 of 8


def test_operators_never_take_longer_than_the_call_that_they_make() -> None:
    watched_while_busy = Turn([line("a", 0.6), line("b", 0.3)], 50.0)
    found = on_scale(watched_while_busy, 40.0)
    assert sum(one.microseconds for one in found) == pytest.approx(40.0)


def test_the_report_fits_eighty_columns() -> None:
    # Which verdict the operators of a run come to hangs on how busy the machine is: say one.
    outside = replace(of_torch(), outside_share=0.6)
    out = io.StringIO()
    draw(view(replace(outside, verdicts=verdicts_of(outside))), out)
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert "aitrade compile tiny.pt" in out.getvalue()


def test_the_command_profiles_a_model_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.pt").write_bytes(weights())
    monkeypatch.chdir(tmp_path)
    launch, _ = simulate(Planted({ONE: 900.0}, 1_000.0))
    whole = model_profile.measure
    monkeypatch.setattr(
        model_profile, "measure", lambda *a, **k: whole(*a, **{**k, "launch": launch})
    )
    words = ("--batch", "1,4", "--json", "--plot", "p.svg")
    assert typed(monkeypatch, "profile", "tiny.pt", *words) == 0
    said = [json.loads(line)["data"] for line in capsys.readouterr().out.splitlines()]
    assert [one["batch"] for one in said] == [1, 4]
    assert all(np.isfinite(one["product_share"]) for one in said)
    assert Path("p.svg").stat().st_size > 1000


def test_a_model_has_no_flamegraph(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.pt").write_bytes(weights())
    monkeypatch.chdir(tmp_path)
    assert typed(monkeypatch, "profile", "tiny.pt", "--flamegraph", "f.svg") == 2
    assert "no flamegraph" in capsys.readouterr().err
