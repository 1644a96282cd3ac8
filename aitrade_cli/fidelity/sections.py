"""How each part of the equivalence report looks on 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.decisions import Decisions, agreement_text
from aitrade_cli.fidelity.drift import Difference, Drift
from aitrade_cli.fidelity.gate import Gate
from aitrade_cli.fidelity.parity import CaseResult, Parity
from aitrade_cli.report.blocks import Facts, Table
from aitrade_cli.units import DASH, change_text, count_text, number_text, ratio_text, share_text

NAMES: Final = {
    "total_return": "Net return",
    "sharpe": "Sharpe",
    "max_drawdown": "Max drawdown",
    "turnover": "Turnover a year",
}
STATUS_WORDS: Final = {
    "held": "held",
    "missed": "MISSED",
    "informed": "informed",
    "not_run": "not run",
    "void": "void",
}
KEPT_SHOWN: Final = 6


def gate_table(gates: Sequence[Gate]) -> Table:
    rows = [(gate.name, STATUS_WORDS[gate.status], _why(gate)) for gate in gates]
    return Table("", ("gate", "answer", "why"), rows, left=3)


def _why(gate: Gate) -> str:
    return f"{gate.reason}; {gate.detail}" if gate.detail else gate.reason


def coverage_facts(coverage: Coverage) -> Facts | None:
    """The layers left as they were; the shares already stand among the gates."""
    if not coverage.kept:
        return None
    more = len(coverage.kept) - KEPT_SHOWN
    shown = ", ".join(coverage.kept[:KEPT_SHOWN]) + (f" and {more} more" if more > 0 else "")
    return Facts("Coverage", (("Left as they were", shown),))


def decision_facts(decisions: Decisions) -> Facts:
    interval = f"{share_text(decisions.agreement_low)} to {share_text(decisions.agreement_high)}"
    rows = [
        ("Agreement", f"{agreement_text(decisions.agreement)} (95 %: {interval})"),
        ("By chance alone", share_text(decisions.agreement_by_chance)),
        ("Long / flat / short", f"{decisions.before.text}  ->  {decisions.after.text}"),
        ("Flips", flips_text(decisions)),
    ]
    if decisions.flips:
        rows += _flip_rows(decisions)
    return Facts(f"Decisions on {count_text(decisions.bars)} bars", rows)


def flips_text(decisions: Decisions) -> str:
    """E.g. ``3: 1 long<->short, 2 flat->trade``."""
    kinds = (
        (decisions.side_flips, "long<->short"),
        (decisions.opened, "flat->trade"),
        (decisions.closed, "trade->flat"),
        (decisions.resized, "resized"),
        (decisions.undecided, "without a finite output"),
    )
    told = ", ".join(f"{count_text(count)} {word}" for count, word in kinds if count)
    return f"{count_text(decisions.flips)}: {told}" if told else "none"


def _flip_rows(decisions: Decisions) -> list[tuple[str, str]]:
    verb = "forgone" if decisions.cost_bps_total >= 0 else "gained"
    per_flip = abs(decisions.cost_bps_per_flip or 0.0)
    rows = [
        (
            "What they cost",
            f"{abs(decisions.cost_bps_total):,.1f} bps {verb} before fees,"
            f" {number_text(per_flip, 1)} a flip"
            f" ({number_text(decisions.stake_bps_per_flip, 1)} at stake)",
        )
    ]
    if decisions.near_boundary_share is not None:
        near = share_text(decisions.near_boundary_share, 0)
        rows.append(("Where", f"{near} in the tenth of bars where the original is least sure"))
    return rows


def parity_facts(parity: Parity) -> Facts:
    rows = [("Worst case", DASH if parity.worst is None else case_text(parity.worst))]
    rows += [("Lost too", case_text(case)) for case in parity.broken[1:3]]
    if len(parity.broken) > 3:
        rows.append(("", f"and {len(parity.broken) - 3} more"))
    real = [case for case in parity.ran if case.kind != "extreme" and case.max_abs is not None]
    if real and parity.worst is not None and parity.worst.kind == "extreme":
        word = "real bars" if real[0].kind == "real" else "noise"
        rows.append((f"Worst on {word}", case_text(max(real, key=lambda case: case.max_abs or 0))))
    if _tells(parity):
        rows.append(
            ("Batch effect", f"{parity.batch_effect:.2g} between one by one and 32 at once")
        )
    return Facts(f"Parity in {len(parity.ran)} cases, {parity.shapes} shapes", rows)


def _tells(parity: Parity) -> bool:
    """Below a thousandth of the spread it is the order of additions, not the batch."""
    return (parity.batch_effect or 0.0) > (parity.output_spread or 0.0) / 1000


def case_text(case: CaseResult) -> str:
    """E.g. ``all zeros [4 x 60]: 0.021, p99 0.013, 3.1 % of the output's spread``."""
    where = f"{case.name} [{case.batch} x {case.length}]"
    if case.status != "ran":
        return f"{where}: {case.reason}"
    if case.max_abs is None:
        return f"{where}: nothing finite to compare"
    if case.max_abs == 0:
        return f"{where}: identical"
    told = f"{where}: {case.max_abs:.2g}, p99 {case.p99_abs:.2g}"
    if case.relative is not None:
        large = case.relative >= 1
        told += f", {ratio_text(case.relative)}" if large else f", {share_text(case.relative)} of"
        told += " the spread"
    return told


def drift_table(drift: Drift) -> Table:
    rows = [
        (NAMES[one.quantity], _changed(one, one.change), _interval(one), one.answer)
        for one in drift.differences
    ]
    return Table("Backtest", ("", "change", "95 % interval", "answer"), rows)


def quantity_text(quantity: str, value: float | None) -> str:
    """A backtest figure as people read it: shares in per cent."""
    if quantity == "total_return":
        return DASH if value is None else f"{value * 100:+.2f} %"
    if quantity == "max_drawdown":
        return share_text(value, 2)
    return number_text(value, 1 if quantity == "turnover" else 3)


def difference_text(quantity: str, value: float | None) -> str:
    """A difference of two backtest figures: of shares in percentage points."""
    if quantity in ("total_return", "max_drawdown") and value is not None:
        return f"{round(value * 100, 2) + 0.0:+.2f} pp"
    digits = 1 if quantity == "turnover" else 3
    return change_text(None if value is None else round(value, digits) + 0.0, digits)


def _changed(one: Difference, value: float | None) -> str:
    return difference_text(one.quantity, value)


def _interval(one: Difference) -> str:
    if one.low is None or one.high is None:
        return DASH
    return f"{_changed(one, one.low)} to {_changed(one, one.high)}"
