"""What the rows M1 to M3 conclude from reports whose numbers are planted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from aitrade_cli.catalog import ROWS
from aitrade_cli.checks import prune as checks
from aitrade_cli.checks.fixtures import MODELS
from aitrade_cli.checks.result import CheckResult, status_of
from aitrade_cli.passes.prune.report import Pace, PruneReport, RoundLine
from aitrade_cli.passes.prune.settings import Settings
from tests.fidelity_cases import judged
from tests.fidelity_market import Model, momentum

EQUIVALENT = judged(Model(momentum()))


def planted(
    *, left: float = 0.3, zeros: float = 0.0, speed: float = 2.0, agrees: float = 1.0
) -> PruneReport:
    found = EQUIVALENT.decisions
    assert found is not None
    after = round(10_000 * left)
    pace = Pace(1, 100.0 * speed, 100.0, speed, speed * 0.95, speed * 1.05, 1.03)
    return PruneReport(
        source="a.pt",
        output="b.pt",
        way="",
        ranking="taylor",
        parameters_before=10_000,
        parameters_after=after,
        zeros=round(zeros * after),
        macs_before=100,
        macs_after=30,
        weight_bytes_before=40_000,
        weight_bytes_after=4 * after,
        compressed_bytes_before=40_000,
        compressed_bytes_after=4 * after,
        file_bytes=4 * after,
        layers=(),
        untouched=(),
        rounds=(RoundLine(1, 0.5, after, 0.1, None, 0),),
        paces=(pace, replace(pace, batch=256)),
        equivalence=replace(EQUIVALENT, decisions=replace(found, agreement=agrees)),
        notes=(),
    )


def answered(
    monkeypatch: pytest.MonkeyPatch, reports: Mapping[str, PruneReport]
) -> list[tuple[str, Settings]]:
    asked: list[tuple[str, Settings]] = []

    def run(name: str, settings: Settings) -> PruneReport:
        asked.append((name, settings))
        return reports.get(name, reports["*"])

    monkeypatch.setattr(checks, "run", run)
    return asked


def status(result: CheckResult, row: str) -> str:
    claim = next(one.claim for one in ROWS if one.id == row)
    return status_of(result, claim)[0]


def test_units_removed_hold_on_all_six_with_training(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answered(monkeypatch, {"*": planted()})
    result = checks.units_are_removed(quick=False)
    assert [name for name, _ in asked] == list(MODELS)
    assert all(one.finetune and one.structured == 0.5 for _, one in asked)
    assert status(result, "M2") == "held"
    assert result.measured.memory_saved == pytest.approx(0.7)


def test_the_quick_check_says_that_it_trains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answered(monkeypatch, {"*": planted(agrees=0.8)})
    result = checks.units_are_removed(quick=True)
    assert not any(one.finetune for _, one in asked)
    assert "not fine-tuned" in result.conditions
    assert status(result, "M2") == "held"


@pytest.mark.parametrize(
    ("report", "wanted"),
    [
        (planted(left=0.41), "failed"),
        (planted(agrees=0.94), "failed"),
        (planted(speed=1.1), "failed"),
        (planted(speed=1.4), "failed"),  # enough at batch 1, too little at 256
    ],
)
def test_it_can_fail(monkeypatch: pytest.MonkeyPatch, report: PruneReport, wanted: str) -> None:
    answered(monkeypatch, {"*": report})
    assert status(checks.units_are_removed(quick=False), "M2") == wanted


def test_the_transformer_may_keep_a_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answered(monkeypatch, {"*": planted(), "transformer": planted(left=0.44)})
    broken = [one.name for one in checks.units_are_removed(quick=False).bounds if not one.passed]
    assert broken == ["transformer bytes saved"]  # its parameters are within theirs


@pytest.mark.parametrize(("zeros", "wanted"), [(0.795, "held"), (0.7, "failed")])
def test_zeros_are_counted_not_believed(
    monkeypatch: pytest.MonkeyPatch, zeros: float, wanted: str
) -> None:
    answered(monkeypatch, {"*": planted(left=1.0, zeros=zeros, speed=1.0)})
    result = checks.weights_are_zeroed_by_size(quick=True)
    assert status(result, "M1") == wanted
    assert next(b for b in result.bounds if "2:4" in b.name).measured == 2


def test_the_schedule_is_cubic(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answered(monkeypatch, {"*": planted(left=1.0, zeros=0.799, speed=1.0)})
    assert status(checks.sparsity_grows_while_training(quick=True), "M3") == "held"
    assert {(one.schedule, one.epochs) for _, one in asked} == {("cubic", 12)}
