"""`distill` from a tiny teacher to a tiny student; latencies are planted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.lock import Lock
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.series import Series
from aitrade_cli.passes.distill import train
from aitrade_cli.passes.distill.compare import difference, losses_of
from aitrade_cli.passes.distill.report import figure_of, row_of
from aitrade_cli.passes.distill.run import distill_artefact
from aitrade_cli.passes.distill.settings import Settings, count_of, recipe_of, times_of
from aitrade_cli.passes.quantize.qat import fine_tune
from aitrade_cli.passes.quantize.run import quantize_artefact, set_up
from aitrade_cli.passes.quantize.settings import Settings as QuantizeSettings
from aitrade_cli.report.ndjson import to_data
from aitrade_cli.training.checkpoints.folder import OtherRun, StateInTheWay
from aitrade_cli.training.checkpoints.keeper import RunInUse
from aitrade_cli.training.material import Material, examples_at
from aitrade_cli.training.quantized import rounded_to_4_bits, rounded_weight
from tests.passes_cases import BARS, onnx_model, plant, torch_model

SHORT = Settings("tcn", parameters=600, recipe=recipe_of(2, 5, 0), data=str(BARS))


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    plant(monkeypatch)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_student_is_made_judged_and_recorded() -> None:
    made = distill_artefact(torch_model(), SHORT, "student.pt")
    report = made.report
    artefact = load(made.data, name="student.pt")
    step = artefact.card.history[-1]
    assert artefact.card.arch is not None
    assert (step.command, artefact.card.arch.name) == ("distill", "tcn")
    assert sum(value.numel() for value in build(artefact).parameters()) == report.parameters_after
    assert report.parameters_after <= 600 < report.parameters_before
    assert [one.name for one in report.models] == ["teacher", "student", "student alone"]
    assert report.models[0].agreement == 1.0
    assert len({one.windows for one in report.models}) == 1
    assert {(one.name, one.other) for one in report.differences} == {
        ("student", "student alone"),
        ("student", "teacher"),
    }
    assert artefact.card.trained_until_ns is not None
    assert artefact.card.sample is not None
    assert artefact.card.trained_until_ns < artefact.card.sample.evaluation.timestamp_ns[0]
    assert step.settings["bars"] == str(BARS)
    assert len(figure_of(report, made.equities).panels) == 3


def test_an_onnx_teacher_and_features_of_a_torch_one() -> None:
    from_onnx = distill_artefact(onnx_model(), replace(SHORT, student="mlp"), "s.pt").report
    assert from_onnx.student == "mlp"
    features = distill_artefact(torch_model(), replace(SHORT, feature_weight=1.0), "s.pt").report
    assert features.feature_weight == 1.0


def test_resumed_from_a_folder_it_is_the_same_file(tmp_path: Path) -> None:
    kept = replace(SHORT, run_dir=tmp_path)
    first = distill_artefact(torch_model(), kept, "s.pt")
    whole = {name: value.clone() for name, value in build(load(first.data)).state_dict().items()}
    with pytest.raises(StateInTheWay):
        distill_artefact(torch_model(), kept, "s.pt")
    for path in (tmp_path / "student-alone" / "checkpoints").glob("*.ckpt"):
        path.unlink()
    again = distill_artefact(torch_model(), replace(kept, resume=True), "s.pt")
    for name, value in build(load(again.data)).state_dict().items():
        assert torch.equal(value, whole[name])
    assert again.report.models == first.report.models
    with pytest.raises(OtherRun, match="temperature"):
        distill_artefact(torch_model(), replace(kept, resume=True, temperature=2.0), "s.pt")


def test_a_run_that_begins_anew_leaves_nothing_of_the_earlier_one(tmp_path: Path) -> None:
    kept = replace(SHORT, run_dir=tmp_path)
    distill_artefact(torch_model(), kept, "s.pt")
    stop = KeyboardInterrupt()

    def cut_off(said: str) -> None:
        if said.startswith("student alone"):
            raise stop

    other = replace(kept, temperature=2.0, force=True)
    with pytest.raises(KeyboardInterrupt):
        distill_artefact(torch_model(), other, "s.pt", cut_off)
    assert list((tmp_path / "student" / "checkpoints").glob("*.ckpt"))
    again = distill_artefact(torch_model(), replace(other, resume=True, force=False), "s.pt")
    assert (
        again.report.models
        == distill_artefact(torch_model(), replace(other, run_dir=None), "s.pt").report.models
    )


def test_a_folder_that_is_held_or_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    kept = replace(SHORT, run_dir=tmp_path)
    held = Lock(tmp_path)
    with pytest.raises(RunInUse, match="another process trains"):
        distill_artefact(torch_model(), replace(kept, force=True), "s.pt")
    held.release()
    file = tmp_path / "student" / "checkpoints" / "step-000000001.ckpt"

    def taken_meanwhile(_: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"of another run")

    with pytest.raises(StateInTheWay):
        distill_artefact(torch_model(), kept, "s.pt", taken_meanwhile)
    assert file.read_bytes() == b"of another run"


def test_a_speed_up_that_is_not_reached_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from aitrade_cli.passes import timing
    from aitrade_cli.passes.distill import size

    monkeypatch.setattr(size, "measure", timing.measure)
    wanted = replace(SHORT, student="mlp", parameters=None, speedup=4.0)
    report = distill_artefact(torch_model(), wanted, "s.pt").report
    assert report.speedup == pytest.approx(4.5, rel=0.1)  # 900 and 200 us are planted
    assert report.passed == report.equivalence.passed
    missed = replace(report, speedup_wanted=8.0)
    assert not missed.passed


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_losses_are_minus_the_log_of_the_right_class(seed: int) -> None:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(9, 3)).astype(np.float32) * 5
    classes = random.integers(0, 3, 9)
    share = np.exp(logits.astype(np.float64))
    share /= share.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        losses_of(logits, classes), -np.log(share[np.arange(9), classes]), rtol=1e-9, atol=1e-12
    )


def test_a_better_model_is_told_from_a_worse_and_from_itself() -> None:
    random = np.random.default_rng(0)
    classes = random.integers(0, 3, 600)
    noise = random.normal(size=(600, 3)).astype(np.float32)
    good = noise.copy()
    good[np.arange(600), classes] += 2.0
    logits = {"good": good, "bad": noise, "same": good + 0.0}
    lower = difference(("good", "bad"), logits, classes, seed=0)
    higher = difference(("bad", "good"), logits, classes, seed=0)
    assert lower is not None
    assert higher is not None
    assert (lower.verdict, higher.verdict) == ("lower", "higher")
    assert lower.nats == pytest.approx(-higher.nats)
    equal = difference(("good", "same"), logits, classes, seed=0)
    assert equal is not None
    assert equal.verdict == "not distinguishable"
    few = {name: rows[:20] for name, rows in logits.items()}
    assert difference(("good", "bad"), few, classes[:20], seed=0) is None


def test_without_held_out_windows_no_figure_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    real = train.material_of

    def emptied(*given: Any) -> Material:
        found = real(*given)
        rows = np.zeros(10)
        series = Series(
            np.arange(10), rows + 1, rows + 1, found.training.windows[0, :1].repeat(10, 0)
        )
        return replace(found, held_out=examples_at(series, np.arange(10), range(5, 5), 4))

    monkeypatch.setattr(train, "material_of", emptied)
    report = distill_artefact(torch_model(), SHORT, "s.pt").report
    assert {(one.windows, one.loss_nats, one.agreement) for one in report.models} == {
        (0, None, None)
    }
    assert not report.differences
    assert "too few" in report.lesson
    assert "NaN" not in json.dumps(to_data(report), allow_nan=False)
    assert "not run" in str([row_of(one) for one in report.models])


def test_sizes_are_read_and_nonsense_is_refused() -> None:
    assert [count_of(text) for text in ("50k", "1.5M", "50_000", None)] == [
        50_000,
        1_500_000,
        50_000,
        None,
    ]
    assert [times_of(text) for text in ("4x", "2.5", None)] == [4.0, 2.5, None]
    for wrong in ("k", "-3", "0", "nan", "1e99"):
        with pytest.raises(Usage):
            count_of(wrong)
    for wrong in ("x", "1x", "nan", "0.5"):
        with pytest.raises(Usage):
            times_of(wrong)
    refused: list[dict[str, Any]] = [
        {"parameters": 9, "speedup": 2.0},
        {"resume": True},
        {"weight": 2.0},
    ]
    for bad in refused:
        with pytest.raises(Usage):
            Settings("mlp", **bad)
    with pytest.raises(Usage, match="out of range"):
        Settings("mlp", temperature=float("nan"))
    with pytest.raises(Usage, match="no built-in"):
        Settings("rnn")


def test_rounded_weights_lie_on_few_levels_and_pass_gradients() -> None:
    weight = torch.randn(4, 64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    eight, four = rounded_weight(weight), rounded_to_4_bits(weight)
    steps = eight.detach() / (weight.detach().abs().amax(dim=1, keepdim=True) / 127)
    assert (steps - steps.round()).abs().max().item() < 1e-3
    assert all(len(row.unique()) <= 16 for row in four.detach().view(8, 32))
    assert (eight - weight).abs().max().item() < (four - weight).abs().max().item() < 0.5
    (eight.sum() + four.sum()).backward()
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.full_like(weight, 2.0))


def test_fine_tuned_candidates_flip_no_more_and_are_listed() -> None:
    wanted = QuantizeSettings(bits="int4", data=str(BARS), qat=True)
    made = quantize_artefact(torch_model(), wanted, "s.onnx")
    report, card = made.report, load(made.data, name="s.onnx").card
    assert card.trained_until_ns is not None
    assert card.sample is not None
    assert card.trained_until_ns < card.sample.evaluation.timestamp_ns[0]
    assert card.history[-1].settings["bars"] == str(BARS)
    tuned = [line for line in report.candidates if line.name.endswith("fine-tuned")]
    assert tuned
    assert any(line.shipped for line in tuned)
    plain = [line for line in report.candidates if not line.name.endswith("fine-tuned")]
    assert min(line.flips or 0 for line in tuned) <= min(line.flips or 1 for line in plain)
    assert sum(line.shipped for line in report.candidates) == 1


def test_without_bars_fine_tuning_says_so() -> None:
    wanted = QuantizeSettings(bits="int8", kinds=frozenset(("dynamic",)))
    bench = set_up(torch_model(), wanted)
    (note,) = fine_tune(torch_model(), bench.shop, wanted).notes
    assert "names no bars" in note
    (other,) = fine_tune(onnx_model(), bench.shop, wanted).notes
    assert "no torch weights" in other
    budget = QuantizeSettings(bits="int4", budget=Budget(max_flips=0.0))
    notes = quantize_artefact(torch_model(), budget, "s.onnx").report.notes
    assert any("fine-tuning was not run" in one for one in notes)
    with pytest.raises(Usage, match="--qat"):
        QuantizeSettings(bits="fp16", qat=True)
