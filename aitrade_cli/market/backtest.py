"""Positions to profit and loss, filled one bar after they were decided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from aitrade_cli.errors import BadInput, Usage

BASIS_POINT = 1e-4


class PositionsUnusable(BadInput):
    """Positions and prices do not make a backtest."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What one unit of turnover costs, in basis points of the capital, each >= 0."""

    fee_bps: float = 0.5
    slippage_bps: float = 0.5

    def __post_init__(self) -> None:
        if not (0.0 <= self.fee_bps < np.inf and 0.0 <= self.slippage_bps < np.inf):
            raise Usage(f"costs of {self.fee_bps:g} and {self.slippage_bps:g} bps are not possible")

    @property
    def rate(self) -> float:
        """Share of the capital that one unit of turnover costs."""
        return (self.fee_bps + self.slippage_bps) * BASIS_POINT


@dataclass(frozen=True, slots=True)
class Backtest:
    """What following the positions would have earned. Entry t belongs to the decision at bar t.

    Attributes:
        gross_return: position times the change from open t+1 to open t+2, before costs.
        net_return: the same after costs; -1 at the lowest, which is all of the capital.
        equity: capital at open t+2, of 1 at the start. 0 once all is lost, and from then on.
        turnover: size of the change of position that was filled at open t+1, 0..2.
        trades: how many bars changed the position.
    """

    gross_return: Float64[np.ndarray, " n"]
    net_return: Float64[np.ndarray, " n"]
    equity: Float64[np.ndarray, " n"]
    turnover: Float64[np.ndarray, " n"]
    trades: int

    def __len__(self) -> int:
        return len(self.net_return)


def backtest(
    position: Float64[np.ndarray, " rows"],
    open_price: Float64[np.ndarray, " bars"],
    costs: Costs,
) -> Backtest:
    r"""Hold ``position[t]``, decided at the close of bar t, from open t+1 to open t+2.

    With $p_t$ the position, $O_t$ the open and $c$ the cost rate,
    $r_t = p_t (O_{t+2} / O_{t+1} - 1) - c\,|p_t - p_{t-1}|$ and $p_{-1} = 0$. A position is a
    share of the capital and is brought back to that share at every open; the small trades that
    this takes are free, and the last position is valued, not closed.

    Args:
        position: share of the capital, in [-1, 1]; -1 is fully short.
        open_price: opens of the same bars, > 0.
        costs: charged at the fill, on the change of position.

    Returns:
        One entry a decision that was filled and left again: ``max(rows - 2, 0)``.

    Raises:
        PositionsUnusable: the lengths differ, a position is outside [-1, 1] or a price is not
            above zero and finite.
    """
    check(position, open_price)
    filled = max(len(position) - 2, 0)
    held = position[:filled]
    gross = held * (open_price[2:] / open_price[1:-1] - 1.0) if filled else np.empty(0)
    turnover = np.abs(np.diff(held, prepend=0.0))
    net = np.maximum(gross - costs.rate * turnover, -1.0)
    return Backtest(gross, net, np.cumprod(1.0 + net), turnover, int(np.count_nonzero(turnover)))


def check(position: Float64[np.ndarray, " rows"], open_price: Float64[np.ndarray, " bars"]) -> None:
    if len(position) != len(open_price):
        raise PositionsUnusable(f"{len(position)} positions do not fit {len(open_price)} bars")
    wrong = np.flatnonzero(~(np.abs(position) <= 1.0))
    if wrong.size:
        raise PositionsUnusable(
            f"position at row {wrong[0]} is `{position[wrong[0]]:g}`, not in [-1, 1]"
        )
    wrong = np.flatnonzero(~((open_price > 0.0) & np.isfinite(open_price)))
    if wrong.size:
        raise PositionsUnusable(
            f"open at row {wrong[0]} is `{open_price[wrong[0]]:g}`, not above zero and finite"
        )
