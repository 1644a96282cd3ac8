"""Gate 3: does the changed model take the same positions, and what do the others cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import numpy as np
from jaxtyping import Bool, Float64

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.budget import Budget, Limit
from aitrade_cli.fidelity.gate import Gate, gate_with_limits
from aitrade_cli.units import count_text, share_text

TRADES_AT_LEAST: Final = 0.1  # share of bars; a model that hardly trades agrees with anything
DECILES: Final = 10
BPS: Final = 1e4  # basis points in 1
Z_95: Final = 1.959963984540054  # two-sided 95 % quantile of the normal distribution


class NothingToCompare(BadInput):
    """There is not one bar on which both models could have decided."""


@dataclass(frozen=True, slots=True)
class Stance:
    """On which share of the bars a model is long, flat or short; the three sum to 1."""

    long: float
    flat: float
    short: float

    @property
    def text(self) -> str:
        """E.g. ``38 / 27 / 35 %``."""
        return f"{self.long * 100:.0f} / {self.flat * 100:.0f} / {self.short * 100:.0f} %"


@dataclass(frozen=True, slots=True)
class Decisions:
    """How often two models decide alike on the same bars. Every figure is defined in
    docs/reference/equivalence-report.md.

    Attributes:
        bars: bars on which both were asked, > 0.
        agreement: share of them with the same position, 0..1.
        agreement_low: lower end of its Wilson 95 % interval.
        agreement_high: upper end.
        agreement_by_chance: agreement of two models with these shares of long, flat and
            short that decide independently.
        side_flips: long became short, or short long.
        opened: flat became a trade.
        closed: a trade became flat.
        resized: same side, another size.
        undecided: the changed model's output was not finite where the original's was.
        cost_bps_total: return forgone by the flips, in basis points of capital, before
            fees: sum of (position before - after) x next open-to-open return. Negative:
            the flips earned.
        cost_bps_per_flip: the same for one flip; None without flips.
        stake_bps_per_flip: mean |position change| x |next return| of a flip.
        flips_by_margin: flips in each tenth of the bars, ordered by how sure the original
            was; the first is nearest to its decision boundary.
        before: the original's shares of long, flat and short.
        after: the changed model's.
        void: why agreement proves nothing here; None where it does.
    """

    bars: int
    agreement: float
    agreement_low: float
    agreement_high: float
    agreement_by_chance: float
    side_flips: int
    opened: int
    closed: int
    resized: int
    undecided: int
    cost_bps_total: float
    cost_bps_per_flip: float | None
    stake_bps_per_flip: float | None
    flips_by_margin: tuple[int, ...] | None
    before: Stance
    after: Stance
    void: str | None

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = (
        "flips",
        "flip_share",
        "side_flip_share",
        "near_boundary_share",
    )

    @property
    def flips(self) -> int:
        """Bars with another position: all kinds together."""
        return self.side_flips + self.opened + self.closed + self.resized + self.undecided

    @property
    def flip_share(self) -> float:
        return self.flips / self.bars

    @property
    def side_flip_share(self) -> float:
        return self.side_flips / self.bars

    @property
    def near_boundary_share(self) -> float | None:
        """Share of the flips among the tenth of bars where the original was least sure."""
        if self.flips_by_margin is None or not self.flips:
            return None
        return self.flips_by_margin[0] / self.flips


def compare_decisions(
    before: Float64[np.ndarray, " bars"],
    after: Float64[np.ndarray, " bars"],
    open_price: Float64[np.ndarray, " bars"],
    margin: Float64[np.ndarray, " bars"] | None = None,
) -> Decisions:
    """Count where two models differ, by kind and by what it costs.

    Args:
        before: the original's position at the close of each bar, in [-1, 1]; NaN where it
            gave none. Those bars are not compared.
        after: the changed model's; NaN where it gave none, which counts as a flip.
        open_price: opens of the same bars, > 0. A position taken at the close of bar t is
            filled at the open of t + 1 and held to the open of t + 2.
        margin: distance of the original's outputs to its decision boundary, >= 0.

    Raises:
        NothingToCompare: the original decided on no bar.
    """
    asked = ~np.isnan(before)
    if not asked.any():
        raise NothingToCompare("the original gives no decision on any bar")
    undecided = asked & np.isnan(after)
    flips = asked & (np.isnan(after) | (before != after))
    moved = np.where(asked, np.nan_to_num(after) - np.nan_to_num(before), 0.0)
    ahead = next_returns(open_price)
    bars, count = int(asked.sum()), int(flips.sum())
    low, high = wilson_interval(bars - count, bars)
    cost = float(-(moved[flips] * ahead[flips]).sum() * BPS)
    stake = float(np.abs(moved[flips] * ahead[flips]).sum() * BPS)
    stance_before, stance_after = stance_of(before[asked]), stance_of(after[asked])
    side, opened, closed, resized = _kinds(before[flips & ~undecided], after[flips & ~undecided])
    return Decisions(
        bars=bars,
        agreement=(bars - count) / bars,
        agreement_low=low,
        agreement_high=high,
        agreement_by_chance=_by_chance(before[asked], after[asked]),
        side_flips=side,
        opened=opened,
        closed=closed,
        resized=resized,
        undecided=int(undecided.sum()),
        cost_bps_total=cost,
        cost_bps_per_flip=cost / count if count else None,
        stake_bps_per_flip=stake / count if count else None,
        flips_by_margin=None if margin is None else _by_decile(margin[asked], flips[asked]),
        before=stance_before,
        after=stance_after,
        void=why_void(stance_before),
    )


def next_returns(open_price: Float64[np.ndarray, " bars"]) -> Float64[np.ndarray, " bars"]:
    """What one unit held after bar t earns: open of t + 2 over open of t + 1, minus 1.

    The last two bars have no such return yet: 0.
    """
    ahead = np.zeros_like(open_price)
    ahead[:-2] = open_price[2:] / open_price[1:-1] - 1
    return ahead


def stance_of(position: Float64[np.ndarray, " bars"]) -> Stance:
    """Shares of long, flat and short. No decision (NaN) means no position: flat."""
    long, short = float((position > 0).mean()), float((position < 0).mean())
    return Stance(long=long, flat=1.0 - long - short, short=short)


def why_void(stance: Stance) -> str | None:
    """Why agreement with this model proves nothing, or None where it does.

    Whatever a model does on nearly every bar, a broken one that always does that agrees
    with it. So long or short must be held on 10 % of the bars, and no stance on over 90 %.
    """
    if stance.long == stance.short == 0:
        return "the model never trades"
    for word, share in (("long", stance.long), ("short", stance.short)):
        if share > 1 - TRADES_AT_LEAST:
            return f"the model is {word} on {share_text(share)} of the bars"
    if max(stance.long, stance.short) < TRADES_AT_LEAST:
        return (
            f"the model hardly trades: long on {share_text(stance.long)}"
            f" and short on {share_text(stance.short)} of the bars"
        )
    return None


def wilson_interval(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % interval of a share; sound at 0 % and 100 % too, where others collapse.

    Args:
        successes: 0..trials.
        trials: > 0, taken as independent.

    Source:
        Wilson 1927, J. Am. Stat. Assoc. 22:209-212.
    """
    share, z2 = successes / trials, Z_95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    spread = share * (1 - share) / trials + z2 / (4 * trials**2)
    half = Z_95 * math.sqrt(spread) / (1 + z2 / trials)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def agreement_text(agreement: float) -> str:
    """A share in per cent, rounded down: 100.0 % is said of no less than all."""
    return f"{math.floor(agreement * 1000 + 1e-9) / 10:.1f} %"


def decisions_gate(decisions: Decisions, budget: Budget) -> Gate:
    """Void where the original does not trade; else held or missed by the flip budgets."""
    limits = [
        Limit(option, what, allowed, measured, "share")
        for option, what, allowed, measured in (
            ("--max-flips", "flips", budget.max_flips, decisions.flip_share),
            ("--max-side-flips", "side flips", budget.max_side_flips, decisions.side_flip_share),
        )
        if allowed is not None
    ]
    if decisions.void:
        return Gate("decisions", "void", decisions.void, required=bool(limits))
    told = (
        f"{agreement_text(decisions.agreement)} of {count_text(decisions.bars)} decisions agree,"
        f" side flips: {count_text(decisions.side_flips)}"
    )
    return gate_with_limits("decisions", told, limits)


def _kinds(
    before: Float64[np.ndarray, " flips"], after: Float64[np.ndarray, " flips"]
) -> tuple[int, int, int, int]:
    """Side flips, opened, closed, resized."""
    product = np.sign(before) * np.sign(after)
    return (
        int((product < 0).sum()),
        int((before == 0).sum()),
        int((after == 0).sum()),
        int((product > 0).sum()),
    )


def _by_chance(before: Float64[np.ndarray, " bars"], after: Float64[np.ndarray, " bars"]) -> float:
    decided = ~np.isnan(after)
    values, where = np.unique(np.concatenate([before, after[decided]]), return_inverse=True)
    first = np.bincount(where[: len(before)], minlength=len(values)) / len(before)
    second = np.bincount(where[len(before) :], minlength=len(values)) / len(before)
    return float(first @ second)


def _by_decile(
    margin: Float64[np.ndarray, " bars"], flips: Bool[np.ndarray, " bars"]
) -> tuple[int, ...]:
    rank = np.empty(len(margin), dtype=np.int64)
    rank[np.argsort(margin, kind="stable")] = np.arange(len(margin))
    counts = np.bincount(rank[flips] * DECILES // len(margin), minlength=DECILES)
    return tuple(int(count) for count in counts)
