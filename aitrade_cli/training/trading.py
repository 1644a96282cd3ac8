"""The objective of `aitrade train`: labels to learn from, a backtest to look at after each pass."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float32, Float64
from torch import nn

from aitrade_cli.market.backtest import Backtest, Costs, backtest
from aitrade_cli.market.metrics import measure, periods_per_year
from aitrade_cli.model.card import Decision
from aitrade_cli.training.labels import UNKNOWN
from aitrade_cli.training.loop import Examples, Labels, cross_entropy, logits_of
from aitrade_cli.training.walk import FoldExamples


@dataclass
class TradedLabels(Labels):
    """Cross-entropy with the classes; validated by it and by what the decisions would earn.

    Attributes:
        parts: of the fold; every validation row is traded, also one without a label.
        decision: how logits become positions.
        costs: of trading.
    """

    parts: FoldExamples = field(kw_only=True)
    decision: Decision = field(default_factory=Decision, kw_only=True)
    costs: Costs = field(default_factory=Costs, kw_only=True)

    def __post_init__(self) -> None:
        rows = self.parts.validation_rows
        self.windows = self.parts.windows_at(rows)
        self.bars = self.parts.series.rows(rows.start, rows.stop)
        self.per_year = periods_per_year(self.bars.timestamp_ns)
        self._logits: Float32[np.ndarray, "n klass"] | None = None

    def validation_loss(self, network: nn.Module) -> float:
        self._logits = logits_of(network, self.windows)
        known = self.labelled
        return cross_entropy(self._logits[known], self.validation.classes)

    @property
    def labelled(self) -> np.ndarray:
        """Which validation rows carry a label."""
        return np.asarray(self.parts.validation_labels != UNKNOWN)

    def figures(self, network: nn.Module) -> dict[str, float | None]:
        """Of the logits that `validation_loss` just took."""
        logits = self._logits if self._logits is not None else logits_of(network, self.windows)
        run = self.traded(logits)
        told = measure(run, self.per_year)
        right = logits[self.labelled].argmax(axis=1) == self.validation.classes
        fall = told.max_drawdown
        return {
            "accuracy": float(right.mean()) if len(right) else None,
            "sharpe": told.sharpe,
            "sortino": told.sortino,
            "drawdown": None if fall is None else -fall,
            "profit_factor": told.profit_factor,
            "calmar": told.calmar,
            "return": told.total_return,
            "turnover": told.turnover,
            "hit_rate": told.hit_rate,
        }

    def traded(self, logits: Float32[np.ndarray, "n klass"]) -> Backtest:
        """What following these logits would have earned on the validation bars."""
        return backtest(self.decision.positions_of(logits), self.bars.open_price, self.costs)


def objective_of(
    parts: FoldExamples, costs: Costs, *, stride: int = 1, decision: Decision | None = None
) -> TradedLabels:
    """One fold as an objective, with every ``stride``-th training window."""
    training = Examples(parts.training.windows[::stride], parts.training.classes[::stride])
    rule = decision or Decision()
    return TradedLabels(training, parts.validation, parts=parts, costs=costs, decision=rule)


def returns_of(objective: TradedLabels, network: nn.Module) -> Float64[np.ndarray, " n"]:
    """Net returns of the network's decisions on the validation bars."""
    return objective.traded(logits_of(network, objective.windows)).net_return
