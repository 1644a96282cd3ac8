"""Options of every command that judges a changed model."""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import option

MaxFlips = Annotated[
    str | None, option("--max-flips", metavar="SHARE", help="Bars whose position may differ: `1%`")
]
MaxSideFlips = Annotated[
    str | None,
    option("--max-side-flips", metavar="SHARE", help="Bars that may go from long to short"),
]
MaxSharpeDrop = Annotated[
    str | None,
    option("--max-sharpe-drop", metavar="NUMBER", help="Annualised Sharpe that may be lost"),
]
MaxDrawdownRise = Annotated[
    str | None,
    option("--max-drawdown-rise", metavar="SHARE", help="How much deeper the drawdown may be"),
]
MaxPnlDrop = Annotated[
    str | None, option("--max-pnl-drop", metavar="SHARE", help="Net return that may be lost")
]
FeeBps = Annotated[
    float, option("--fee-bps", min=0.0, help="Fee of a unit of position change, basis points")
]
SlippageBps = Annotated[
    float, option("--slippage-bps", min=0.0, help="Slippage of the same, basis points")
]
