"""What the rows M4 to M7 conclude from reports whose numbers are planted."""

from __future__ import annotations

from dataclasses import replace
from statistics import geometric_mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrade_cli.checks import quantize as checks
from aitrade_cli.checks.fixtures import MODELS
from aitrade_cli.checks.quantize import (
    agreement,
    check,
    decisions_bound,
    dynamic_int8,
    half_bounds,
    half_precision,
    int4_bounds,
    int4_weights,
    int8_bounds,
    static_int8,
)
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.passes.quantize.report import CandidateLine, QuantizeReport
from aitrade_cli.passes.quantize.settings import Settings
from tests.fidelity_cases import judged
from tests.fidelity_market import Model, momentum

EQUIVALENT = judged(Model(momentum()))


def planted(
    *,
    agrees: float | None = 1.0,
    size: float = 0.25,
    speed: float = 4.0,
    spread: float = 1.0,
    stored: float = 0.99,
    in_float: tuple[str, ...] = (),
) -> QuantizeReport:
    """A report with the figures that a check reads; ``agrees`` None judged no decision."""
    found = EQUIVALENT.decisions
    assert found is not None
    decisions = None if agrees is None else replace(found, agreement=agrees)
    gain = Gain(
        size_bytes_before=10_000,
        size_bytes_after=round(10_000 * size),
        latency_us_before=100.0 * speed,
        latency_us_after=100.0,
        speedup_low=speed / spread,
        speedup_high=speed * spread,
    )
    line = CandidateLine("dynamic", 1, 1.0, stored, stored, 0.0, in_float, True, "shipped")
    other = CandidateLine("static", None, None, None, None, None, (), False, "not built")
    return QuantizeReport(
        source="a.pt",
        output="a.onnx",
        bits="int8",
        float32_bytes=10_000,
        onnx_bytes=round(10_000 * size),
        file_bytes=20_000,
        candidates=(other, line),
        flips_allowed=0.01,
        chosen_on_windows=48,
        equivalence=replace(EQUIVALENT, decisions=decisions, gain=gain),
        notes=(),
    )


def checked(monkeypatch: pytest.MonkeyPatch, *reports: QuantizeReport) -> CheckResult:
    by_name = {f"m{at}": report for at, report in enumerate(reports)}
    monkeypatch.setattr(checks, "run", lambda name, _: by_name[name])
    return check(list(by_name), Settings(), int8_bounds)


def passes(result: CheckResult) -> bool:
    return all(bound.passed for bound in result.bounds)


def test_the_mean_is_the_geometric_one(monkeypatch: pytest.MonkeyPatch) -> None:
    two = planted(speed=2.0, size=0.2, spread=1.1), planted(speed=8.0, size=0.45, spread=1.1)
    found = checked(monkeypatch, *two).measured
    # The root of 2 x 8, and one less the root of 0.2 x 0.45.
    assert found.speedup == pytest.approx(4.0)
    assert found.memory_saved == pytest.approx(0.7)
    assert found.speedup_low == pytest.approx(4.0 / 1.1)
    assert found.speedup_high == pytest.approx(4.0 * 1.1)


@given(st.lists(st.floats(0.1, 20.0), min_size=1, max_size=6))
@settings(max_examples=20)
def test_one_slow_model_pulls_the_mean_down(speeds: list[float]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        found = checked(patch, *(planted(speed=speed) for speed in speeds)).measured
    assert found.speedup is not None
    assert min(speeds) * 0.999 <= found.speedup <= max(speeds) * 1.001
    assert found.speedup == pytest.approx(geometric_mean(speeds))


def test_every_model_is_a_case_with_its_own_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    result = checked(monkeypatch, planted(), planted(speed=2.0, in_float=("head",)))
    first, second = result.cases
    assert (first.name, first.speedup, first.memory_saved) == ("m0", 4.0, 0.75)
    assert first.note == "dynamic; 100.00% of decisions agree"
    assert second.note.endswith(", in float: head")
    assert result.conditions.startswith("m0, m1: batch 1, 1 thread")


@pytest.mark.parametrize(("agrees", "held"), [(1.0, True), (0.99, True), (0.9899, False)])
def test_less_than_99_percent_of_decisions_fails(
    agrees: float, held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert passes(checked(monkeypatch, planted(), planted(agrees=agrees))) is held


def test_decisions_that_were_not_judged_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    assert agreement(planted(agrees=None)) == 0.0
    assert not passes(checked(monkeypatch, planted(agrees=None)))


def test_an_agreement_that_says_nothing_fails() -> None:
    report = planted()
    decisions = report.equivalence.decisions
    assert decisions is not None
    idle = replace(decisions, void="the original is always flat")
    void = replace(report, equivalence=replace(report.equivalence, decisions=idle))
    assert not decisions_bound("mlp", void).passed


@pytest.mark.parametrize(
    ("stored", "in_float", "held"),
    [
        (0.95, (), True),
        (0.9499, (), False),
        (0.40, (), False),
        (0.40, ("hidden.0",), True),
        (0.0, (), False),
    ],
)
def test_coverage_is_waived_only_where_layers_are_named(
    stored: float, in_float: tuple[str, ...], held: bool
) -> None:
    covered, _ = int8_bounds("mlp", planted(stored=stored, in_float=in_float))
    assert covered.passed is held


def test_layers_in_float_do_not_excuse_decisions() -> None:
    _, decided = int8_bounds("mlp", planted(agrees=0.9, in_float=("hidden.0",)))
    assert not decided.passed


@pytest.mark.parametrize(("size", "held"), [(0.18, True), (0.19, False)])
def test_int4_is_bound_by_its_size(size: float, held: bool) -> None:
    (bound,) = int4_bounds("transformer", planted(size=size, agrees=0.5))
    assert bound.passed is held


@pytest.mark.parametrize(
    ("size", "agrees", "held"), [(0.52, 1.0, True), (0.53, 1.0, False), (0.5, 0.98, False)]
)
def test_half_precision_is_bound_by_both(size: float, agrees: float, held: bool) -> None:
    assert all(b.passed for b in half_bounds("mlp", planted(size=size, agrees=agrees))) is held


def test_what_was_not_measured_is_no_check() -> None:
    report = planted()
    unmeasured = replace(report, equivalence=replace(report.equivalence, gain=None))
    with pytest.raises(ValueError, match=r"a\.pt was shipped without being measured"):
        checks.gain_of(unmeasured)


@pytest.mark.parametrize(
    ("row", "bits", "kinds", "quick", "whole"),
    [
        (dynamic_int8, "int8", {"dynamic"}, {"lstm", "mlp"}, set(MODELS)),
        (static_int8, "int8", {"static"}, {"tcn", "lstm"}, set(MODELS)),
        (int4_weights, "int4", None, {"transformer"}, {"transformer", "mlp"}),
        (half_precision, "fp16", None, {"mlp"}, set(MODELS)),
    ],
)
def test_each_row_quantizes_as_it_claims(
    row: object,
    bits: str,
    kinds: set[str] | None,
    quick: set[str],
    whole: set[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: dict[str, Settings] = {}

    def noted(name: str, wanted: Settings) -> QuantizeReport:
        asked[name] = wanted
        return planted()

    monkeypatch.setattr(checks, "run", noted)
    assert callable(row)
    for wanted, hurry in ((quick, True), (whole, False)):
        asked.clear()
        row(hurry)
        assert set(asked) == wanted
        assert {one.bits for one in asked.values()} == {bits}
        assert kinds is None or all(one.kinds == kinds for one in asked.values())
