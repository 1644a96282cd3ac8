"""The five gates together: what passes, what fails, and what is only said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.judge import OriginalFails, judge
from aitrade_cli.fidelity.match import InputsDiffer, SampleLeaks
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.card import Decision
from tests.fidelity_cases import (
    BARS,
    BUDGET,
    COVERAGE,
    GAIN,
    NO_GAIN,
    SAMPLE,
    judged,
    screen,
    statuses,
)
from tests.fidelity_market import (
    DAY_NS,
    START_NS,
    WINDOW,
    Model,
    card,
    momentum,
    nan_now_and_then,
    refuse,
)


def test_an_identical_model_that_is_smaller_and_faster_passes_every_gate() -> None:
    report = judged(Model(momentum()), budget=BUDGET, gain=GAIN, coverage=COVERAGE)
    assert set(statuses(report).values()) == {"held"}
    assert report.passed
    assert report.trades_the_same
    assert report.verdict.startswith("Trades the same, smaller and faster: 100.0 % of 255")
    assert report.decisions is not None
    assert report.decisions.bars == BARS


def test_the_bars_are_those_of_evaluation_alone() -> None:
    """Poison before the evaluation row is never asked, neither for parity nor for trading."""
    poisoned = SAMPLE.series.features.copy()
    poisoned[: SAMPLE.evaluation_row] = 4.75
    bars = replace(SAMPLE, series=replace(SAMPLE.series, features=poisoned))

    def refuse(window: np.ndarray) -> np.ndarray:
        assert not (window == 4.75).any(), "asked about a bar before evaluation"
        return momentum()(window)

    report = judged(Model(refuse), sample=bars)
    assert report.passed
    assert report.evaluated is not None
    first = START_NS + (SAMPLE.evaluation_row + WINDOW - 1) * DAY_NS
    assert report.evaluated.first == f"{np.datetime64(first, 'ns').astype('datetime64[s]')}Z"
    assert report.evaluated.periods_per_year == 365.0


def test_the_poison_would_be_noticed() -> None:
    poisoned = SAMPLE.series.features.copy()
    poisoned[SAMPLE.evaluation_row :] = 4.75
    with pytest.raises(OriginalFails, match="poison"):
        judge(
            Model(lambda w: momentum()(w) if not (w == 4.75).any() else refuse()),
            Model(momentum()),
            card=card(),
            sample=replace(SAMPLE, series=replace(SAMPLE.series, features=poisoned)),
        )


def test_an_inverted_model_is_worse_and_without_budgets_that_informs() -> None:
    report = judged(Model(momentum(gain=-1)), gain=GAIN, coverage=COVERAGE)
    assert report.drift is not None
    assert report.drift.answer == "worse"
    assert report.trades_the_same is False
    assert report.passed  # nobody set a budget, so the verdict says it and the exit code not
    assert report.verdict.startswith("Trades differently")
    assert "the backtest is worse" in report.verdict


def test_an_inverted_model_misses_any_budget() -> None:
    for budget in (Budget(max_flips=0.01), Budget(max_sharpe_drop=0.1)):
        report = judged(Model(momentum(gain=-1)), budget=budget, gain=GAIN, coverage=COVERAGE)
        assert not report.passed
        assert report.verdict.startswith("Not equivalent.")


def test_a_model_that_gives_nan_fails_without_any_budget() -> None:
    report = judged(Model(nan_now_and_then), gain=GAIN, coverage=COVERAGE)
    assert statuses(report)["parity"] == "missed"
    assert not report.passed
    assert report.decisions is not None
    windows = SAMPLE.evaluation.windows(WINDOW)
    assert report.decisions.undecided == (windows[:, -1, 1] > 2.0).sum() > 0


def test_a_model_that_cannot_be_asked_one_by_one_fails_and_says_why() -> None:
    def batches_only(window: np.ndarray) -> np.ndarray:
        if len(window) == 1:
            raise RuntimeError("batch of two at least")
        return momentum()(window)

    report = judged(Model(batches_only), gain=GAIN, coverage=COVERAGE)
    assert statuses(report)["parity"] == "missed"
    assert statuses(report)["decisions"] == statuses(report)["backtest"] == "not_run"
    assert "batch of two at least" in report.gate("decisions").reason


def test_an_always_flat_original_makes_agreement_void() -> None:
    flat = Model(momentum(threshold=99.0))
    report = judge(flat, flat, card=card(), sample=SAMPLE, gain=GAIN, coverage=COVERAGE)
    assert statuses(report)["decisions"] == statuses(report)["backtest"] == "void"
    assert report.trades_the_same is None
    assert "agreement is void, the model never trades" in report.verdict
    owed = judge(flat, flat, card=card(), sample=SAMPLE, budget=Budget(max_flips=0.5))
    assert not owed.passed


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"sample": None}, "no sample of bars"),
        ({"card": replace(card(), decision=None)}, "the artefact has no decision rule"),
        ({"card": replace(card(), decision=Decision("threshold"))}, "wants 1 outputs"),
        ({"sample": replace(SAMPLE, evaluation_row=418)}, "2 evaluation bars are too few"),
        ({"sample": replace(SAMPLE, evaluation_row=420)}, "0 evaluation bars are too few"),
    ],
)
def test_a_gate_that_lacks_something_is_named_as_not_run(how: dict[str, object], why: str) -> None:
    report = judged(Model(momentum()), gain=GAIN, coverage=COVERAGE, **how)
    for name in ("decisions", "backtest"):
        gate = next(gate for gate in report.gates if gate.name == name)
        assert gate.status == "not_run"
        assert why in gate.reason
    assert report.passed
    assert report.trades_the_same is None
    assert why in screen(report).replace("\n", " ")
    assert not judged(Model(momentum()), budget=BUDGET, **how).passed


def test_a_few_bars_are_compared_but_not_backtested() -> None:
    report = judged(Model(momentum()), sample=replace(SAMPLE, evaluation_row=400))
    assert report.decisions is not None
    assert report.decisions.bars == 15
    assert statuses(report)["backtest"] == "not_run"
    assert report.evaluated is not None
    assert report.evaluated.bars == 15


def test_no_gain_fails_unless_it_was_asked_for_by_name() -> None:
    report = judged(Model(momentum()), gain=NO_GAIN, coverage=COVERAGE)
    assert not report.passed
    assert report.verdict.startswith("Not better. Gain: no gain")
    assert judged(Model(momentum()), gain=replace(NO_GAIN, asked_by_name=True)).passed


def test_nothing_covered_fails_whatever_was_gained() -> None:
    assert not judged(Model(momentum()), gain=GAIN, coverage=Coverage(100, 0)).passed


def test_calibration_rows_among_the_judged_are_refused() -> None:
    with pytest.raises(SampleLeaks):
        judged(Model(momentum()), sample=replace(SAMPLE, calibration_rows=300))


def test_bars_that_training_saw_are_told() -> None:
    until = int(SAMPLE.series.timestamp_ns[SAMPLE.evaluation_row + WINDOW + 9])
    seen = judged(Model(momentum()), card=replace(card(), trained_until_ns=until))
    assert any(line.startswith("11 of these bars closed before training") for line in seen.notes)
    unseen = judged(Model(momentum()), card=replace(card(), trained_until_ns=START_NS))
    assert unseen.notes == ()


def test_fine_tuning_of_the_other_model_counts_too() -> None:
    until = int(SAMPLE.series.timestamp_ns[-1])
    tuned = replace(card(), trained_until_ns=until)
    report = judged(
        Model(momentum()), card=replace(card(), trained_until_ns=START_NS), card_after=tuned
    )
    assert report.evaluated is not None
    assert report.evaluated.bars_seen_in_training == BARS


def test_two_artefacts_of_other_inputs_are_refused_by_name() -> None:
    made = card().preprocessing
    assert made is not None
    other = replace(card(), preprocessing=replace(made, clip=3.0))
    with pytest.raises(InputsDiffer, match=r"`lstm.pt` and `lstm.int8.onnx`"):
        judged(Model(momentum()), card_after=other)


def test_each_artefact_decides_by_its_own_rule() -> None:
    backwards = replace(card(), decision=Decision(positions=(1.0, 0.0, -1.0)))
    report = judged(Model(momentum(gain=-1)), card_after=backwards)
    assert report.decisions is not None
    assert report.decisions.flips == 0


def test_higher_costs_punish_the_model_that_trades_more() -> None:
    restless = Model(momentum(noise=0.6))
    cheap = judged(restless, costs=Costs(0.0, 0.0)).drift
    dear = judged(restless, costs=Costs(50.0, 0.0)).drift
    assert cheap is not None
    assert dear is not None
    assert (dear.sharpe_drop or 0) > (cheap.sharpe_drop or 0) + 1.0


def test_the_same_seed_writes_the_same_report() -> None:
    again = [judged(Model(momentum(noise=0.2)), seed=5) for _ in range(2)]
    assert again[0] == again[1]
    assert again[0].drift != judged(Model(momentum(noise=0.2)), seed=6).drift


def test_many_candidates_ask_the_original_once() -> None:
    asked = 0

    def count(window: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += 1
        return momentum()(window)

    original = Remembered(Model(count))
    first = judge(original, Model(momentum()), card=card(), sample=SAMPLE)
    after_one = asked
    second = judge(original, Model(momentum()), card=card(), sample=SAMPLE)
    assert asked == after_one
    assert first == second
