"""Which compiler ships, and when the model is kept; latencies are planted."""

# long because every reason to ship or to keep has its own test

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float32

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.files import sha256
from aitrade_cli.inference.latency_report import Judgement, LatencyReport
from aitrade_cli.model.artefact import Artefact, NativePackage, OnnxGraph, TorchWeights
from aitrade_cli.model.card import RunsOn
from aitrade_cli.model.compilation import ledger
from aitrade_cli.model.compilation.graphs import graph_backend
from aitrade_cli.model.compilation.interface import Backend
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import NativeProgram
from aitrade_cli.passes.compile.pictures import figure_of
from aitrade_cli.passes.compile.report import CompileLine
from aitrade_cli.passes.compile.run import (
    BackendMissing,
    CompiledModel,
    NothingCompiled,
    compile_artefact,
    gaining_first,
)
from aitrade_cli.passes.compile.settings import (
    CompileSettings,
    backends_of,
    precisions_of,
)
from aitrade_cli.report.blocks import view
from aitrade_cli.report.ndjson import to_data
from tests.compile_cases import package
from tests.passes_cases import onnx_model, plant, torch_model

SLOW = {"the source": 900.0, "before": 900.0}
ONE = (1,)
Make = Callable[[Artefact, Float32[np.ndarray, "n time feature"], str], Artefact]


@pytest.fixture(autouse=True)
def own_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def only(monkeypatch: pytest.MonkeyPatch, *wanted: Backend) -> None:
    monkeypatch.setattr(CompileSettings, "wanted", lambda _: wanted)


def fake(name: str, make: Make, precisions: tuple[str, ...] = ("float32",)) -> Backend:
    return Backend(name, lambda _: None, make, precisions)


def same(artefact: Artefact, windows: object, precision: str) -> Artefact:
    del windows
    return replace(artefact, card=replace(artefact.card, runs_on=RunsOn("eager", 1, precision)))


def other(artefact: Artefact, windows: object, precision: str) -> Artefact:
    """A model that is confident of something else."""
    assert isinstance(artefact.network, TorchWeights)
    state = {name: torch.roll(w, 1, 0) for name, w in artefact.network.state_dict.items()}
    return replace(same(artefact, windows, precision), network=TorchWeights(state))


def compiled(
    monkeypatch: pytest.MonkeyPatch,
    source: Artefact | None = None,
    settings: CompileSettings | None = None,
    call_us: Mapping[str, float] | None = None,
    fails: Mapping[str, str] | None = None,
) -> CompiledModel:
    plant(monkeypatch, call_us or SLOW, fails=fails)
    return compile_artefact(
        source or torch_model(),
        settings or CompileSettings(batches=ONE),
        lambda ending: f"tiny.compiled{ending}",
    )


def line(made: CompiledModel, name: str) -> CompileLine:
    return next(one for one in made.report.candidates if one.name == name)


def test_the_fastest_that_is_equivalent_ships(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, graph_backend("onnxruntime"), fake("other", other), fake("same", same))
    made = compiled(monkeypatch, call_us={**SLOW, "onnxruntime": 300, "other": 10, "same": 500})
    assert made.report.winner == "onnxruntime"
    assert made.report.passed
    assert made.ending == ".onnx"
    assert made.report.output == "tiny.compiled.onnx"
    assert "not equivalent: decides otherwise" in line(made, "other").reason
    assert "0.60x of the shipped one's speed" in line(made, "same").reason
    assert "3.00x at batch 1" in made.report.verdict


def test_the_file_says_how_it_wants_to_be_run_and_where_it_is_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, graph_backend("onnxruntime"))
    made = compiled(monkeypatch)
    assert made.data is not None
    again = load(made.data)
    assert isinstance(again.network, OnnxGraph)
    assert again.card.runs_on == RunsOn("onnxruntime")
    assert again.card.sample is not None
    step = again.card.history[-1]
    assert (step.command, step.settings["source"]) == ("compile", "tiny.pt")
    assert step.parent_sha256 == torch_model().sha256
    assert step.measurements["backend"] == "onnxruntime"
    assert made.report.sha256 == sha256(made.data)


def test_nothing_faster_keeps_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, fake("same", same))
    made = compiled(monkeypatch, call_us={"the source": 900.0, "same": 900.0})
    assert made.data is None
    assert not made.report.passed
    assert made.report.verdict.startswith("kept eager: nothing is faster beyond noise")
    assert line(made, "same").reason == "not faster than the source beyond noise"


def test_a_backend_asked_for_by_name_ships_without_a_gain(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = CompileSettings(backends=("onnxruntime",), batches=ONE)
    slow = {"the source": 100.0, "before": 100.0, "onnxruntime": 900.0, "after": 900.0}
    made = compiled(monkeypatch, settings=settings, call_us=slow)
    assert made.data is not None
    assert made.report.passed
    assert not made.report.gained
    assert "no gain" in made.report.verdict


def test_slower_at_one_batch_is_not_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, fake("same", same))
    mixed = lambda _self, _variant, _over=None, batch=1: "slower" if batch > 1 else "faster"  # noqa: E731
    monkeypatch.setattr(LatencyReport, "judge", mixed)
    made = compiled(monkeypatch, settings=CompileSettings(batches=(1, 8)))
    assert made.data is None
    assert line(made, "same").reason == "slower than the source at batch 8"


def test_what_compiles_anew_in_every_process_is_measured_and_not_shipped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    only(monkeypatch, Backend("again", lambda _: None, same, ships=False))
    made = compiled(monkeypatch, call_us={**SLOW, "again": 10})
    assert made.data is None
    assert line(made, "again").batches[0].speed > 50
    assert "compiles anew in every process" in line(made, "again").reason


def test_a_float32_candidate_with_other_numbers_is_out_though_it_decides_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nearly(artefact: Artefact, windows: object, precision: str) -> Artefact:
        assert isinstance(artefact.network, TorchWeights)
        state = {name: w * 1.02 for name, w in artefact.network.state_dict.items()}
        return replace(same(artefact, windows, precision), network=TorchWeights(state))

    only(monkeypatch, fake("nearly", nearly))
    made = compiled(
        monkeypatch, settings=CompileSettings(batches=ONE, budget=Budget(max_flips=0.9))
    )
    assert made.data is None
    assert "of their spread apart" in line(made, "nearly").reason


def test_bfloat16_is_not_shipped_where_nothing_can_judge_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = torch_model()
    bare = replace(source, card=replace(source.card, sample=None))
    only(monkeypatch, fake("half", same, ("float32", "bfloat16")))
    made = compiled(monkeypatch, bare, call_us={**SLOW, "half bfloat16": 10})
    assert made.report.winner == "half float32"
    assert line(made, "half bfloat16").reason.startswith("no bars or no decision rule")


def test_a_candidate_that_dies_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, fake("same", same), fake("dies", same))
    made = compiled(monkeypatch, fails={"dies": "run"})
    assert made.report.winner == "same"
    assert "it broke" in line(made, "dies").reason


def test_a_backend_that_cannot_build_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(artefact: Artefact, windows: object, precision: str) -> Artefact:
        raise RuntimeError(f"{artefact.name} is too much, {precision}, {windows is None}")

    only(monkeypatch, fake("same", same), fake("stops", stop))
    made = compiled(monkeypatch)
    assert line(made, "stops").status == "failed"
    assert "RuntimeError: tiny.pt is too much" in line(made, "stops").reason


def test_what_is_missing_is_listed_once_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = Backend("gone", lambda _: "not installed", same, ("float32", "bfloat16"))
    only(monkeypatch, fake("same", same), absent)
    made = compiled(monkeypatch)
    assert [one.status for one in made.report.candidates] == ["shipped", "absent"]
    assert line(made, "gone").reason == "not installed"


def test_only_missing_backends_by_name_end_with_5(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "aitrade_cli.model.compilation.xla.why_not", lambda _: "torch_xla is not installed"
    )
    with pytest.raises(BackendMissing) as caught:
        compiled(monkeypatch, settings=CompileSettings(backends=("xla",)))
    assert caught.value.exit_code == 5


def test_a_graph_has_nothing_for_torch_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendMissing, match="torch does not compile ONNX graphs"):
        compiled(monkeypatch, onnx_model(), CompileSettings(backends=("torchscript",)))


def test_a_name_that_only_measures_ships_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, Backend("again", lambda _: None, same, ships=False))
    with pytest.raises(NothingCompiled):
        compiled(monkeypatch, settings=CompileSettings(backends=("inductor",), batches=ONE))


def test_inductor_is_shipped_as_a_package() -> None:
    names = [one.name for one in CompileSettings(backends=("inductor",)).wanted()]
    assert names == ["inductor", "aoti"]


def test_onnx_is_compared_with_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, graph_backend("openvino"))
    made = compiled(
        monkeypatch, onnx_model(), CompileSettings(precisions=("float32",), batches=ONE)
    )
    assert made.report.baseline == "onnxruntime"
    assert made.report.winner is not None


def test_a_package_cannot_be_compiled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NativeProgram):
        compiled(monkeypatch, load(package()))


def test_a_package_that_ships_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    first = lambda window: torch.as_tensor(window)[:, 0, :3]  # noqa: E731
    monkeypatch.setattr("torch._inductor.aoti_load_package", lambda _: first)

    def make(artefact: Artefact, windows: object, precision: str) -> Artefact:
        del windows, precision
        found = load(package())
        return replace(found, name=artefact.name, native_trusted=True)

    monkeypatch.setattr("aitrade_cli.passes.compile.choice.difference", lambda *_: None)
    only(monkeypatch, fake("aoti", make))
    made = compiled(monkeypatch, settings=CompileSettings(backends=("aoti",), batches=ONE))
    assert made.ending == ".pt2"
    assert made.data is not None
    assert ledger.is_recorded(sha256(made.data))
    assert isinstance(load(made.data).network, NativePackage)
    assert any("native.json" in note for note in made.report.notes)


def test_the_report_is_data_and_blocks_and_a_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch, graph_backend("onnxruntime"), fake("other", other))
    made = compiled(monkeypatch, settings=CompileSettings(batches=(1, 4)))
    data = to_data(made.report)
    assert data["passed"] is True
    assert data["candidates"][0]["batches"][1]["batch"] == 4
    assert {"latency_us_p99", "first_call_us", "peak_memory_bytes"} <= set(
        data["candidates"][0]["batches"][0]
    )
    assert "Batch 4, against eager" in repr(list(view(made.report)))
    panels = figure_of(made.report, made.equities).panels
    assert [panel.title for panel in panels][:2] == ["Speed at batch 1", "Speed at batch 4"]


def test_words_of_the_command_line_are_checked() -> None:
    assert backends_of(["aoti", "aoti", "openvino"]) == ("aoti", "openvino")
    assert precisions_of([]) == ("float32", "bfloat16")
    assert precisions_of(["bfloat16"]) == ("bfloat16",)
    with pytest.raises(Usage, match="no backend is called `tvm`"):
        backends_of(["tvm"])
    with pytest.raises(Usage) as caught:
        precisions_of(["int8"])
    assert "aitrade quantize" in caught.value.hint


def test_the_batch_at_which_it_gains_is_put_before_the_gain_gate() -> None:
    found: dict[int, Judgement] = {1: "tie", 8: "faster", 256: "faster"}
    assert gaining_first((1, 8, 256), found.__getitem__) == (8, 1, 256)
    assert gaining_first((256, 1), found.__getitem__) == (256, 1)
    assert gaining_first((1,), found.__getitem__) == (1,)
