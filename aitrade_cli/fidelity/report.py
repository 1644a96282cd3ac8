"""The equivalence report: what a change did to size, speed and, above all, to trading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.decisions import Decisions, agreement_text
from aitrade_cli.fidelity.drift import Drift
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.fidelity.gate import Gate, GateName
from aitrade_cli.fidelity.parity import Parity
from aitrade_cli.fidelity.sections import (
    NAMES,
    coverage_facts,
    decision_facts,
    difference_text,
    drift_table,
    gate_table,
    parity_facts,
    quantity_text,
)
from aitrade_cli.fidelity.trading import Evaluated
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.units import (
    bytes_text,
    count_text,
    microseconds_text,
    number_text,
    ratio_text,
    share_text,
)

AGREES: Final = 0.99  # agreement from which on the report says "trades the same"

BACKTEST_WORDS: Final = {
    "not distinguishable": "the backtests cannot be told apart",
    "worse": "the backtest is worse",
    "better": "the backtest is better",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One line of before, after and change.

    ``change`` is after / before for ``size_bytes``, before / after (the speed-up) for
    ``latency_us_p50``, and after - before for everything else.
    """

    quantity: Literal[
        "size_bytes", "latency_us_p50", "total_return", "sharpe", "max_drawdown", "turnover"
    ]
    before: int | float | None
    after: int | float | None
    change: float | None


@dataclass(frozen=True, slots=True)
class EquivalenceReport:
    """What a change did. Every figure is defined in docs/reference/equivalence-report.md.

    A part is None where its gate did not run; the gate says why.
    """

    before_name: str
    after_name: str
    gates: tuple[Gate, ...]
    changes: tuple[Change, ...]
    evaluated: Evaluated | None
    coverage: Coverage | None
    parity: Parity | None
    decisions: Decisions | None
    drift: Drift | None
    gain: Gain | None
    notes: tuple[str, ...] = ()

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("verdict", "passed", "trades_the_same")

    @property
    def passed(self) -> bool:
        """False where a gate turns the exit code to 1."""
        return not any(gate.fails for gate in self.gates)

    @property
    def trades_the_same(self) -> bool | None:
        """At least 99 % of decisions agree and the backtest is not worse; None if unjudged."""
        if self.decisions is None or self.decisions.void or self.drift is None:
            return None
        return self.decisions.agreement >= AGREES and self.drift.answer != "worse"

    @property
    def verdict(self) -> str:
        """The sentence that answers: may this model replace that one?"""
        failed = [gate for gate in self.gates if gate.fails]
        if failed:
            only_idle = all(gate.name in ("coverage", "gain") for gate in failed)
            told = ". ".join(f"{gate.name.capitalize()}: {gate.reason}" for gate in failed)
            return f"{'Not better' if only_idle else 'Not equivalent'}. {told}."
        lead = {True: "Trades the same", False: "Trades differently", None: "Trading not judged"}
        gain = f", {self.gain.text}" if self.gate("gain").status != "not_run" and self.gain else ""
        return f"{lead[self.trades_the_same]}{gain}: {self._trading_clause}."

    def gate(self, name: GateName) -> Gate:
        return next(gate for gate in self.gates if gate.name == name)

    @property
    def _trading_clause(self) -> str:
        if self.decisions is None:
            return self.gate("decisions").reason
        if self.decisions.void:
            return f"agreement is void, {self.decisions.void}"
        agreement = (
            f"{agreement_text(self.decisions.agreement)} of"
            f" {count_text(self.decisions.bars)} decisions agree"
        )
        if self.drift is None:
            return f"{agreement}, no backtest ({self.gate('backtest').reason})"
        return f"{agreement}, {BACKTEST_WORDS[self.drift.answer]}"


def summary(report: EquivalenceReport) -> dict[str, Any]:
    """What an artefact's history keeps of the report: plain data, a few hundred bytes."""
    kept: dict[str, Any] = {
        "verdict": report.verdict,
        "passed": report.passed,
        "gates": {gate.name: gate.status for gate in report.gates},
    }
    if report.coverage is not None:
        kept["parameter_share"] = report.coverage.parameter_share
        kept["mac_share"] = report.coverage.mac_share
    if report.parity is not None and report.parity.worst is not None:
        kept["output_delta_max"] = report.parity.worst.max_abs
        kept["output_delta_max_on_real_bars"] = report.parity.real_max_abs
    if report.evaluated is not None:
        kept["symbol"] = report.evaluated.symbol
        kept["bars"] = report.evaluated.bars
        kept["from"], kept["to"] = report.evaluated.first, report.evaluated.last
    if report.decisions is not None:
        kept["agreement"] = report.decisions.agreement
        kept["flips"] = report.decisions.flips
        kept["side_flips"] = report.decisions.side_flips
        kept["flip_cost_bps"] = report.decisions.cost_bps_total
    if report.drift is not None:
        kept["backtest"] = report.drift.answer
        kept["sharpe_change"] = report.drift.difference("sharpe").change
        kept["total_return_change"] = report.drift.difference("total_return").change
    if report.gain is not None:
        kept["size_ratio"] = report.gain.size_ratio
        kept["speedup"] = report.gain.speedup
    return kept


def changes_of(gain: Gain | None, drift: Drift | None) -> tuple[Change, ...]:
    """The before-and-after lines of whatever was measured."""
    rows: list[Change] = []
    if gain is not None and gain.size_ratio is not None:
        rows.append(
            Change("size_bytes", gain.size_bytes_before, gain.size_bytes_after, gain.size_ratio)
        )
    if gain is not None and gain.speedup is not None:
        rows.append(
            Change("latency_us_p50", gain.latency_us_before, gain.latency_us_after, gain.speedup)
        )
    if drift is not None:
        rows += [
            Change(one.quantity, one.before, one.after, one.change) for one in drift.differences
        ]
    return tuple(rows)


@view.register
def _(report: EquivalenceReport) -> Sequence[Block]:
    good = False if not report.passed else report.trades_the_same or None
    blocks: list[Block | None] = [Verdict(report.verdict, good)]
    title = f"{report.before_name} -> {report.after_name}"
    if report.changes:
        rows = [_change_row(change) for change in report.changes]
        blocks.append(Table(title, ("", "before", "after", "change"), rows))
    blocks += [
        gate_table(report.gates),
        None if report.coverage is None else coverage_facts(report.coverage),
        None if report.decisions is None else decision_facts(report.decisions),
        None if report.parity is None else parity_facts(report.parity),
        None if report.drift is None else drift_table(report.drift),
        Notes("Notes", _notes(report)) if _notes(report) else None,
    ]
    return tuple(block for block in blocks if block is not None)


def _change_row(row: Change) -> tuple[str, str, str, str]:
    if row.quantity == "size_bytes":
        return ("Size", bytes_text(row.before), bytes_text(row.after), share_text(row.change))
    if row.quantity == "latency_us_p50":
        before, after = microseconds_text(row.before), microseconds_text(row.after)
        return ("Latency p50", before, after, ratio_text(row.change))
    before, after = (quantity_text(row.quantity, value) for value in (row.before, row.after))
    return (NAMES[row.quantity], before, after, difference_text(row.quantity, row.change))


def _notes(report: EquivalenceReport) -> tuple[str, ...]:
    lines: list[str] = []
    bars = report.evaluated
    if bars is not None:
        lines.append(
            f"{count_text(bars.bars)} bars of {bars.symbol}, {bars.first[:10]} to {bars.last[:10]},"
            f" {number_text(bars.periods_per_year, 0)} a year, asked {bars.batch_size} at a time"
        )
        lines.append(
            f"filled at the next open, {bars.fee_bps:g} bps fees and"
            f" {bars.slippage_bps:g} bps slippage a unit traded"
        )
    if report.drift is not None:
        lines.append(_resolution(report.drift))
    if report.gain is not None and report.gain.conditions:
        lines.append(report.gain.conditions)
    if report.gain is not None and report.gain.noise_band:
        band = ratio_text(1 + report.gain.noise_band)
        lines.append(f"the same model timed against itself differs by up to {band}")
    if any(gate.status == "informed" for gate in report.gates[2:4]):
        lines.append("no budget was set for the gates that inform: they never fail")
    return (*lines, *report.notes)


def _resolution(drift: Drift) -> str:
    """What this many bars can tell apart at all: no verdict is finer than its data."""
    sharpe = drift.difference("sharpe")
    drawn = (
        f"interval: {count_text(drift.resamples)} stationary block resamples,"
        f" mean block {number_text(drift.mean_block, 1)} bars, seed {drift.seed}"
    )
    if sharpe.low is None or sharpe.high is None or sharpe.high == sharpe.low:
        return drawn
    half = (sharpe.high - sharpe.low) / 2
    return f"{drawn}; a Sharpe change within about {half:.2f} either way would not show"
