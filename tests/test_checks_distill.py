"""What the rows M8 and M9 conclude from reports of a tiny model whose speed is planted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitrade_cli.catalog import Claim
from aitrade_cli.checks import distill as checks
from aitrade_cli.checks.result import status_of
from aitrade_cli.passes.distill.compare import LossDifference
from aitrade_cli.passes.distill.report import DistillReport
from aitrade_cli.passes.distill.run import distill_artefact
from aitrade_cli.passes.distill.settings import Settings, recipe_of
from aitrade_cli.passes.quantize.report import QuantizeReport
from aitrade_cli.passes.quantize.run import quantize_artefact
from aitrade_cli.passes.quantize.settings import Settings as QuantizeSettings
from tests.passes_cases import BARS, plant, torch_model


@pytest.fixture(scope="module")
def distilled() -> DistillReport:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        short = Settings("mlp", parameters=500, recipe=recipe_of(1, 1, 0), data=str(BARS))
        return distill_artefact(torch_model(), short, "s.pt").report


def with_loss(report: DistillReport, low: float, high: float) -> DistillReport:
    found = LossDifference("student", "student alone", (low + high) / 2, low, high, 5.0)
    return replace(report, differences=(found,), parameters_before=5 * report.parameters_after)


def test_one_of_six_may_be_worse_and_no_more(
    distilled: DistillReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"lstm"}

    def run(name: str, *, quick: bool) -> DistillReport:
        assert not quick
        worse = (0.01, 0.03) if name in bad else (-0.02, 0.02)
        return with_loss(distilled, *worse)

    monkeypatch.setattr(checks, "run", run)
    found = checks.students_learn(quick=False)
    assert len(found.cases) == 6
    assert status_of(found, Claim())[0] == "held"
    bad.add("gru")
    assert status_of(checks.students_learn(quick=False), Claim())[0] == "failed"


def test_too_large_a_student_fails_the_quick_one_too(
    distilled: DistillReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = with_loss(distilled, -0.1, 0.1)
    monkeypatch.setattr(checks, "run", lambda *_, **__: good)
    assert status_of(checks.students_learn(quick=True), Claim())[0] == "held"
    large = replace(good, parameters_before=3 * good.parameters_after)
    monkeypatch.setattr(checks, "run", lambda *_, **__: large)
    assert status_of(checks.students_learn(quick=True), Claim())[0] == "failed"


def test_more_flips_than_before_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.MonkeyPatch.context() as patch:
        plant(patch)
        wanted = QuantizeSettings(bits="int4", qat=True, data=str(BARS))
        report = quantize_artefact(torch_model(), wanted, "s.onnx").report

    def flipping(before: float, after: float) -> QuantizeReport:
        lines = tuple(
            replace(line, flips=after if line.name.endswith(checks.SUFFIX) else before)
            for line in report.candidates
        )
        return replace(report, candidates=lines)

    monkeypatch.setattr(checks, "run_tuned", lambda _, **__: flipping(0.02, 0.01))
    assert status_of(checks.rounding_is_learned(quick=True), Claim())[0] == "held"
    monkeypatch.setattr(checks, "run_tuned", lambda _, **__: flipping(0.01, 0.02))
    assert status_of(checks.rounding_is_learned(quick=True), Claim())[0] == "failed"
