"""How much a change may cost, in absolute units, so that a losing or flat baseline works too.

Relative budgets break where trading lives: one per cent of a Sharpe of -1.0 asks an
identical model for -0.99, and one per cent of 0 divides by zero. Here every budget is a
difference: what the original had, minus what is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from aitrade_cli.errors import Usage
from aitrade_cli.units import number_text, share_text

ROUNDING: Final = 1e-12  # a difference of two floats may miss an equal budget by this much


class BadBudget(Usage):
    """A budget option holds something that is not a budget."""


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget beside what was measured against it.

    Attributes:
        option: the option that set it, e.g. ``--max-flips``.
        what: the quantity in words, e.g. ``flips``.
        allowed: the most that is allowed, >= 0.
        measured: what was found, in the same unit; None where it is not defined.
        unit: ``share`` for 0..1, ``number`` for anything else.
    """

    option: str
    what: str
    allowed: float
    measured: float | None
    unit: Literal["share", "number"] = "number"

    @property
    def held(self) -> bool:
        """True where the budget covers it. What cannot be measured is not covered."""
        return self.measured is not None and self.measured <= self.allowed + ROUNDING

    @property
    def text(self) -> str:
        """E.g. ``flips 3.1 %, allowed 1.0 %``."""
        show = _share if self.unit == "share" else _number
        found = "not defined" if self.measured is None else show(self.measured)
        return f"{self.what} {found}, allowed {show(self.allowed)}"


def _share(value: float) -> str:
    return share_text(value, 2)


def _number(value: float) -> str:
    return number_text(value, 3) if abs(value) >= 0.001 or value == 0 else f"{value:.2g}"


@dataclass(frozen=True, slots=True)
class Budget:
    """What a change may cost. `None` sets no budget: the gate then informs.

    Attributes:
        max_flips: share of bars whose position may differ, 0..1.
        max_side_flips: share of bars that may go from long to short or back, 0..1.
        max_sharpe_drop: annualised Sharpe before minus after, >= 0.
        max_drawdown_rise: depth of the deepest drawdown after minus before, as a share of
            equity, 0..1.
        max_pnl_drop: total net return before minus after, as a share of capital, >= 0.
        max_output_delta: largest |difference| of any output on real inputs, >= 0.
    """

    max_flips: float | None = None
    max_side_flips: float | None = None
    max_sharpe_drop: float | None = None
    max_drawdown_rise: float | None = None
    max_pnl_drop: float | None = None
    max_output_delta: float | None = None

    def __post_init__(self) -> None:
        for name in ("max_flips", "max_side_flips", "max_drawdown_rise"):
            _check(name, getattr(self, name), most=1.0)
        for name in ("max_sharpe_drop", "max_pnl_drop", "max_output_delta"):
            _check(name, getattr(self, name), most=math.inf)


def parse_budget(
    *,
    max_flips: str | None = None,
    max_side_flips: str | None = None,
    max_sharpe_drop: str | None = None,
    max_drawdown_rise: str | None = None,
    max_pnl_drop: str | None = None,
    max_output_delta: str | None = None,
) -> Budget:
    """Read budgets as people type them: ``1%`` or ``0.01`` for shares, ``0.1`` for Sharpe.

    Raises:
        BadBudget: a text is no number, negative, not finite, above 100 %, or a bare ``1``
            where that could mean one per cent as well as all.
    """
    return Budget(
        max_flips=_parse_share("max_flips", max_flips),
        max_side_flips=_parse_share("max_side_flips", max_side_flips),
        max_sharpe_drop=_parse_number("max_sharpe_drop", max_sharpe_drop),
        max_drawdown_rise=_parse_share("max_drawdown_rise", max_drawdown_rise),
        max_pnl_drop=_parse_share("max_pnl_drop", max_pnl_drop),
        max_output_delta=_parse_number("max_output_delta", max_output_delta),
    )


def option_of(name: str) -> str:
    """``max_flips`` -> ``--max-flips``."""
    return "--" + name.replace("_", "-")


def _parse_share(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    body = text.strip()
    if body.endswith("%"):
        return _number_in(name, text, body[:-1]) / 100
    value = _number_in(name, text, body)
    if value >= 1:
        raise BadBudget(
            f"`{option_of(name)} {text}` could be per cent or a share",
            hint=f"write `{option_of(name)} {text}%`, or a share below 1 such as `0.01`",
        )
    return value


def _parse_number(name: str, text: str | None) -> float | None:
    return None if text is None else _number_in(name, text, text.strip())


def _number_in(name: str, text: str, body: str) -> float:
    try:
        return float(body)
    except ValueError:
        raise BadBudget(
            f"`{option_of(name)} {text}` is not a number", hint="write `1%` or `0.01`"
        ) from None


def _check(name: str, value: float | None, *, most: float) -> None:
    if value is None:
        return
    if not (math.isfinite(value) and 0 <= value <= most):
        upper = "" if math.isinf(most) else " and at most 100 %"
        raise BadBudget(
            f"`{option_of(name)}` must be at least 0{upper}, got `{value:g}`",
            hint="a budget says how much may be lost: 0 allows no loss at all",
        )
