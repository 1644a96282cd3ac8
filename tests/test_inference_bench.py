"""Which runtimes are tried, what is compared with what, and how it reads."""

# long because bench is one unit: entrants, cells and screen are planted and read together

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.errors import BadInput, Usage
from aitrade_cli.inference import bench as bench_module
from aitrade_cli.inference import entrants as entrants_module
from aitrade_cli.inference.bench import bench, share_out
from aitrade_cli.inference.bench_report import BenchReport
from aitrade_cli.inference.bench_view import figure_of, rate_text, speed_text
from aitrade_cli.inference.entrants import (
    Entrant,
    choose,
    enter,
    groups,
    names_of,
    network_bytes,
)
from aitrade_cli.inference.processes import VariantFailed
from aitrade_cli.inference.resampling import Interval, Ratio
from aitrade_cli.inference.variants import Effort, Variant
from aitrade_cli.model.artefact import Artefact, OnnxGraph, TorchWeights
from aitrade_cli.model.card import Arch, Card
from aitrade_cli.model.runtimes.start import NoSuchRuntime
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.report.plot import Bars
from aitrade_cli.system.host import Host, Load
from tests.golden import assert_golden
from tests.inference_simulation import simulate

CARD = Card(inputs=(), outputs=(), arch=Arch("lstm"))
EFFORT = Effort(rounds=20, seconds=0.02)
HOST = Host(
    cpu="Some CPU @ 3 GHz",
    cores_usable=2,
    cores_online=4,
    quota_cores=1.5,
    instructions=("avx2", "avx512_vnni"),
    memory_bytes=16_000_000_000,
    memory_free_bytes=12_000_000_000,
    os="Linux 6.18",
    python="3.11.7",
    gpus=(),
)
IDLE = Load(average_before=0.3, cores_usable=2, others_cores=0.02, stolen_cores=0.0)


def torch_model(name: str) -> Artefact:
    return Artefact(CARD, TorchWeights({"weight": torch.zeros(10, 10)}), name=name)


def onnx_model(name: str) -> Artefact:
    return Artefact(CARD, OnnxGraph(b"x" * 130), name=name)


@pytest.fixture(autouse=True)
def _stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No export, no host of this machine, and the two runtimes that are always there."""
    missing = {"openvino": "openvino is not installed"}
    monkeypatch.setattr(entrants_module, "why_not", missing.get)
    monkeypatch.setattr(entrants_module, "export", lambda model: onnx_model(model.name))
    monkeypatch.setattr(bench_module, "describe_host", lambda: HOST)


def names(models: Sequence[Artefact], runtimes: Sequence[str], cells: int = 1) -> list[str]:
    entry = enter(models, runtimes, cells=cells, say=lambda _: None)
    return [entrant.variant.name for entrant in entry.entrants]


def test_a_torch_model_runs_in_all_runtimes_and_a_graph_in_those_for_graphs() -> None:
    models = [torch_model("a.pt"), onnx_model("a.onnx")]
    assert names(models, ()) == [
        "a.pt eager",
        "a.pt compile",
        "a.pt onnxruntime",
        "a.onnx onnxruntime",
    ]


def test_compilation_joins_by_itself_only_while_it_is_rare() -> None:
    assert "compile" in choose([torch_model("a.pt")], (), cells=2)[0]
    wanted, notes = choose([torch_model("a.pt")], (), cells=3)
    assert "compile" not in wanted
    assert any("compile was left out: 3 compilations" in note for note in notes)
    assert "compile" in choose([torch_model("a.pt")], ("compile",), cells=100)[0]
    assert choose([onnx_model("a.onnx")] * 9, (), cells=9)[0] == ("onnxruntime",)


def test_a_runtime_that_is_not_here_is_said() -> None:
    assert "openvino was left out: openvino is not installed" in choose([], (), 1)[1]


def test_an_unknown_runtime_is_named() -> None:
    with pytest.raises(NoSuchRuntime, match="`caffe`"):
        names([torch_model("a.pt")], ("eager", "caffe"))


def test_a_graph_that_is_asked_to_run_in_torch_is_said() -> None:
    with pytest.raises(Usage, match="torch does not run ONNX graphs"):
        names([onnx_model("a.onnx")], ("eager",))


def test_a_model_that_cannot_be_exported_still_runs_in_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entrants_module, "export", lambda _: "not exported: no such operator")
    entry = enter([torch_model("a.pt")], (), cells=1, say=lambda _: None)
    assert [lost.reason for lost in entry.not_run] == ["not exported: no such operator"]
    assert [entrant.variant.runtime for entrant in entry.entrants] == ["eager", "compile"]


def test_models_of_one_name_are_numbered() -> None:
    models = [torch_model("a.pt"), torch_model("b.pt"), torch_model("a.pt")]
    assert names_of(models) == ["a.pt#1", "b.pt", "a.pt#2"]


def test_the_size_is_the_networks_without_card_and_bars() -> None:
    assert network_bytes(torch_model("a.pt")) == 400
    assert network_bytes(onnx_model("a.onnx")) == 130


def test_a_users_own_network_is_named_to_its_worker() -> None:
    own = replace(torch_model("a.pt"), card=replace(CARD, arch=Arch("mine.nets:build")))
    entry = enter([own], ("eager", "onnxruntime"), cells=1, say=lambda _: None)
    assert entry.entrants[0].variant.arch == "mine.nets:build"


@given(
    sizes=st.lists(st.integers(0, 2_000_000_000), min_size=1, max_size=8),
    memory=st.integers(0, 30_000_000_000),
)
def test_groups_hold_every_entrant_and_begin_with_the_first(sizes: list[int], memory: int) -> None:
    entrants = [
        Entrant(f"m{at}", at, Variant(f"m{at}", b"", "eager", network_bytes=size))
        for at, size in enumerate(sizes)
    ]
    found = groups(entrants, memory)
    assert all(group[0] is entrants[0] for group in found)
    members = [entrants[0], *(one for group in found for one in group if one is not entrants[0])]
    assert members == entrants


def test_everything_is_one_group_where_memory_is_plenty() -> None:
    entrants = [Entrant("m", at, Variant(f"m{at}", b"", "eager")) for at in range(12)]
    assert len(groups(entrants, 64_000_000_000)) == 1
    assert len(groups(entrants, 4_000_000_000)) > 1


def run(call_us: dict[str, float], models: Sequence[Artefact], **more: object) -> BenchReport:
    launch, _ = simulate(call_us, noise=0.01)
    runtimes = ("eager", "onnxruntime")
    settings = {"effort": EFFORT, "runtimes": runtimes, "launch": launch, **more}
    report = bench(models, **settings)  # type: ignore[arg-type]
    # The host and its load are this machine's; everything else is planted.
    cells = tuple(replace(cell, load=IDLE) for cell in report.cells)
    return replace(report, cells=cells)


TWO = {"a.pt eager": 100.0, "a.pt onnxruntime": 50.0, "b.pt eager": 10.0, "b.pt onnxruntime": 10.0}


def test_each_model_is_compared_with_the_first_and_with_itself() -> None:
    report = run(TWO, [torch_model("a.pt"), torch_model("b.pt")])
    rows = {row.latency.variant: row for row in report.rows}
    assert rows["b.pt eager"].speed.value == pytest.approx(10.0, rel=0.05)
    assert rows["b.pt eager"].own_speed.value == 1.0
    assert rows["a.pt onnxruntime"].own_judgement == "faster"
    assert rows["b.pt onnxruntime"].own_baseline == "b.pt eager"
    assert rows["b.pt onnxruntime"].own_judgement == "tie"
    assert report.fastest(1).model == "b.pt"


def test_a_graph_is_compared_with_the_torch_model_before_it() -> None:
    times = {**TWO, "b.int8.onnx onnxruntime": 5.0}
    models = [torch_model("a.pt"), torch_model("b.pt"), onnx_model("b.int8.onnx")]
    report = run(times, models)
    last = report.rows[-1]
    assert (last.own_baseline, last.baseline) == ("b.pt eager", "a.pt eager")
    assert last.own_speed.value == pytest.approx(2.0, rel=0.05)
    assert last.speed.value == pytest.approx(20.0, rel=0.05)


def test_thread_counts_are_measured_one_after_the_other() -> None:
    report = run(TWO, [torch_model("a.pt")], threads=(2, 1), batches=(4, 1))
    assert [(cell.batch, cell.threads) for cell in report.cells] == [(1, 1), (4, 1), (1, 2), (4, 2)]
    assert len(report.rows) == 8


def test_groups_are_joined_and_the_leader_is_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    poor = replace(HOST, memory_free_bytes=0)
    monkeypatch.setattr(bench_module, "describe_host", lambda: poor)
    report = run(TWO, [torch_model("a.pt"), torch_model("b.pt")])
    assert [row.latency.variant for row in report.rows] == list(TWO)


def test_two_models_are_a_pair_in_their_first_runtimes() -> None:
    times = {"a.pt eager": 100.0, "a.pt onnxruntime": 50.0, "a.onnx onnxruntime": 25.0}
    report = run(times, [torch_model("a.pt"), onnx_model("a.onnx")])
    pair = report.pair()
    assert pair is not None
    assert (pair.before.latency.variant, pair.after.latency.variant) == (
        "a.pt eager",
        "a.onnx onnxruntime",
    )
    assert run(TWO, [torch_model("a.pt")]).pair() is None


def test_nothing_measured_at_all_is_an_error() -> None:
    launch, _ = simulate(TWO, fails={"a.pt eager": "open", "a.pt eager (again)": "open"})
    with pytest.raises(VariantFailed, match="it broke"):
        bench([torch_model("a.pt")], runtimes=("eager",), effort=EFFORT, launch=launch)


def test_the_time_is_shared_out_within_sensible_bounds() -> None:
    assert share_out(arms=2, cells=1).seconds == 2.0
    assert share_out(arms=13, cells=4).seconds == pytest.approx(90 / 52)
    assert share_out(arms=100, cells=9).seconds == 0.5


@pytest.mark.parametrize(
    ("per_second", "text"), [(12.34, "12.3"), (105_263.0, "105 k"), (2.5e6, "2.5 M")]
)
def test_a_rate_has_three_digits(per_second: float, text: str) -> None:
    assert rate_text(per_second) == text


def test_a_tie_is_marked_and_the_baseline_is_not() -> None:
    near = Ratio(1.02, Interval(0.99, 1.04))
    assert speed_text(near, "tie") == "≈1.02x"
    assert speed_text(near, "faster") == "1.02x"
    assert speed_text(Ratio(1.0, Interval(1.0, 1.0)), "tie") == "1.00x"


def screen(report: BenchReport) -> str:
    stream = io.StringIO()
    draw(view(report), stream)
    return stream.getvalue()


def test_two_models_on_screen(regen: bool) -> None:
    times = {**TWO, "b.int8.onnx onnxruntime": 5.0}
    models = [torch_model("a.pt"), torch_model("b.pt"), onnx_model("b.int8.onnx")]
    report = run(times, models, batches=(1, 256), threads=(1, 2))
    text = screen(report)
    assert max(map(len, text.splitlines())) <= 80
    assert_golden("bench_models.txt", text, regen=regen)


def test_one_model_on_screen(regen: bool) -> None:
    launch, _ = simulate({"a.pt eager": 1.0, "a.pt onnxruntime": 0.9}, noise=0.01)
    report = bench(
        [torch_model("a.pt")], effort=EFFORT, runtimes=("eager", "onnxruntime"), launch=launch
    )
    loaded = Load(average_before=7.5, cores_usable=2, others_cores=0.9, stolen_cores=0.2)
    cells = tuple(replace(cell, load=loaded) for cell in report.cells)
    assert_golden("bench_loaded.txt", screen(replace(report, cells=cells)), regen=regen)


@pytest.mark.parametrize("cells", [(1, 8, 64), (1, 2, 4, 8, 16, 32)])
def test_long_names_and_many_batches_fit_80_columns(cells: tuple[int, ...]) -> None:
    name = "a_model_with_a_very_long_name_indeed.pt"
    times = {f"{name} eager": 12_345.6, f"{name} onnxruntime": 1_234.5}
    report = run(times, [torch_model(name)], batches=cells)
    assert max(map(len, screen(report).splitlines())) <= 80


def test_a_failed_variant_is_listed_with_its_reason() -> None:
    launch, _ = simulate(TWO, fails={"a.pt onnxruntime": "open"})
    report = bench(
        [torch_model("a.pt")], effort=EFFORT, runtimes=("eager", "onnxruntime"), launch=launch
    )
    assert "a.pt onnxruntime: it broke" in screen(report)


def test_the_report_has_a_json_form() -> None:
    data = to_data(run(TWO, [torch_model("a.pt")]))
    assert data["rows"][0]["latency"]["latency_us_p50"] > 0
    assert data["loaded"] is False


def test_the_picture_has_a_panel_for_every_cell() -> None:
    figure = figure_of(run(TWO, [torch_model("a.pt")], batches=(1, 4)))
    assert [panel.title for panel in figure.panels] == ["Batch 1, 1 thread", "Batch 4, 1 thread"]
    assert isinstance(figure.panels[0].content, Bars)
    assert figure.panels[0].content.labels == ["a.pt onnxruntime", "a.pt eager"]


def test_batches_below_one_are_refused_before_anything_starts(tmp_path: Path) -> None:
    launch, started = simulate(TWO)
    with pytest.raises(BadInput):
        bench([torch_model("a.pt")], batches=(0,), runtimes=("eager",), launch=launch)
    assert not started
    assert not list(tmp_path.iterdir())
