"""Put a changed model before the five gates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.coverage import Coverage, coverage_gate
from aitrade_cli.fidelity.drift import RESAMPLES
from aitrade_cli.fidelity.gain import Gain, gain_gate
from aitrade_cli.fidelity.match import require_no_leak, require_same_inputs
from aitrade_cli.fidelity.outputs import Runs
from aitrade_cli.fidelity.parity import (
    CaseResult,
    Parity,
    compare_outputs,
    complaint,
    parity_gate,
    try_parity,
)
from aitrade_cli.fidelity.report import EquivalenceReport, changes_of
from aitrade_cli.fidelity.trading import (
    Trading,
    describe,
    evaluation_outputs,
    trade,
    trading_gates,
)
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.card import Card, Sample
from aitrade_cli.units import count_text

EVERY_BAR = "every bar"


class OriginalFails(BadInput):
    """The original stops on the very bars it should be judged on."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(f"`{name}` fails on its evaluation windows: {words}")


def judge(
    before: Runs,
    after: Runs,
    *,
    card: Card,
    sample: Sample | None,
    budget: Budget | None = None,
    costs: Costs | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    coverage: Coverage | None = None,
    gain: Gain | None = None,
    batch_size: int = 1,
    before_name: str = "before",
    after_name: str = "after",
    card_after: Card | None = None,
) -> EquivalenceReport:
    """Run all five gates and write the report.

    Args:
        before: the original, running; in `Remembered` where many candidates face it.
        after: the changed model, running.
        card: the original's.
        sample: real bars; only ``sample.evaluation`` is judged on. None: the gates that need
            bars are named as not run, and parity uses seeded noise.
        budget: what the change may cost; without one, decisions and backtest inform.
        costs: of trading; the backtest's defaults where not given.
        seed: of the noise and of the bootstrap.
        resamples: series drawn for the intervals, >= 100.
        coverage: what the pass changed; None where no pass did.
        gain: size and latency as the caller measured them.
        batch_size: windows asked at once, >= 1. 1 is how a desk trades, and dynamic INT8
            gives other outputs in larger batches.
        before_name: file name of the original.
        after_name: file name of the changed model.
        card_after: the other model's card, where two artefacts are compared; its decision
            rule is then used for it.

    Raises:
        InputsDiffer: the two cards describe different inputs; both names are in the message.
        UnknownInput: the model does not take one window [batch, time, feature].
        SampleLeaks: the sample's calibration rows reach into its evaluation rows.
        OriginalFails: the original stops on the evaluation windows.
    """
    budget = budget or Budget()
    if card_after is not None:
        require_same_inputs(card, card_after, before_name, after_name)
    if sample is not None:
        require_no_leak(sample)
    rows = sample.evaluation.features if sample is not None and len(sample.evaluation) else None
    parity = try_parity(before, after, card, rows, seed=seed)
    pair = Pair(before, after, card, card_after or card, before_name, batch_size, seed, resamples)
    trading = Trading.without("no sample of bars")
    if sample is not None:
        case, trading = _on_bars(pair, sample, parity, costs or Costs())
        parity = replace(parity, cases=(*case, *parity.cases))
    gates = (
        coverage_gate(coverage),
        parity_gate(parity, budget),
        *trading_gates(trading, budget),
        gain_gate(gain),
    )
    return EquivalenceReport(
        before_name=before_name,
        after_name=after_name,
        gates=gates,
        changes=changes_of(gain, trading.drift),
        evaluated=trading.evaluated,
        coverage=coverage,
        parity=parity,
        decisions=trading.decisions,
        drift=trading.drift,
        gain=gain,
        notes=notes_of(parity, trading),
    )


@dataclass(frozen=True, slots=True)
class Pair:
    """The two models, and how they are asked and compared."""

    before: Runs
    after: Runs
    card: Card
    card_after: Card
    before_name: str
    batch_size: int
    seed: int
    resamples: int


def _on_bars(
    pair: Pair, sample: Sample, parity: Parity, costs: Costs
) -> tuple[tuple[CaseResult, ...], Trading]:
    """Ask both on every evaluation window: one more parity case, and what they traded."""
    shape = input_shape(pair.card)
    if len(sample.evaluation) <= shape.window:
        few = f"{len(sample.evaluation)} evaluation bars are too few for windows of {shape.window}"
        return (), Trading.without(few)
    batch = shape.batch or pair.batch_size
    before_outputs = _ask_original(pair, sample)
    try:
        after_outputs = evaluation_outputs(pair.after, pair.card, sample, batch)
    except Exception as error:  # every engine has its own; each of them means: it stopped
        words = complaint(error)
        case = CaseResult(EVERY_BAR, "real", batch, shape.window, "failed", reason=words)
        return (case,), Trading.without(f"the changed model fails: {words}")
    case = compare_outputs(
        EVERY_BAR, "real", shape.window, before_outputs, after_outputs, parity.output_spread
    )
    bars = sample.evaluation.after_window(shape.window)
    known_until = [c.trained_until_ns for c in (pair.card, pair.card_after) if c.trained_until_ns]
    evaluated = describe(sample, bars, costs, batch, max(known_until, default=None))
    rules = (pair.card.decision, pair.card_after.decision)
    trading = trade(
        before_outputs,
        after_outputs,
        rules,
        bars,
        costs,
        evaluated,
        seed=pair.seed,
        resamples=pair.resamples,
    )
    return (case,), trading


def _ask_original(pair: Pair, sample: Sample) -> Float32[np.ndarray, "n out"]:
    try:
        return evaluation_outputs(pair.before, pair.card, sample, pair.batch_size)
    except Exception as error:  # every engine has its own; each of them means: it stopped
        raise OriginalFails(pair.before_name, complaint(error)) from error


def notes_of(parity: Parity, trading: Trading) -> tuple[str, ...]:
    """What a reader must know that no table says."""
    lines: list[str] = []
    bars = trading.evaluated
    if bars is not None and bars.bars_seen_in_training:
        lines.append(
            f"{count_text(bars.bars_seen_in_training)} of these bars closed before training"
            " ended: the backtest flatters both models"
        )
    if any(case.kind == "synthetic" for case in parity.cases):
        lines.append("parity was tried on noise: there were no real bars")
    skipped = [case for case in parity.cases if case.status == "not_applicable"]
    for reason in dict.fromkeys(case.reason for case in skipped):
        names = ", ".join(f"`{case.name}`" for case in skipped if case.reason == reason)
        lines.append(f"{reason}, so {names} do not apply")
    ailing = [case for case in parity.cases if case.status == "original_fails"]
    if ailing:
        names = ", ".join(f"`{case.name}`" for case in ailing)
        lines.append(f"the original itself fails on {names}: {ailing[0].reason}")
    return tuple(lines)
