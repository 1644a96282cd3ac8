"""When to stop and which weights to keep, by several figures at once.

Criteria are written one after the other, with commas between them:

    sharpe:max:patience=5:delta=0.1,drawdown:<0.2

``NAME:max`` and ``NAME:min`` rank epochs; the first of them chooses the weights that are kept.
``NAME:<X`` and ``NAME:>X`` are limits: an epoch that breaks one is only kept while none holds
them all. The run stops once every ranking criterion waited its patience for something better,
among the epochs that may be kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from aitrade_cli.errors import Usage
from aitrade_cli.training.state import Epoch

FIGURES: Final = (
    "loss",
    "accuracy",
    "sharpe",
    "sortino",
    "drawdown",
    "profit_factor",
    "calmar",
    "return",
    "turnover",
    "hit_rate",
)


class BadCriterion(Usage):
    """A criterion that cannot be read."""

    default_hint = '`--early-stop "sharpe:max:patience=5,drawdown:<0.2"`; figures: ' + ", ".join(
        FIGURES
    )


@dataclass(frozen=True, slots=True)
class Ranking:
    """One figure that is to become better.

    Attributes:
        patience: epochs without an improvement before it wants to stop, >= 1.
        delta: an improvement is larger than this, in the figure's unit, >= 0.
    """

    figure: str
    sense: Literal["max", "min"]
    patience: int
    delta: float = 0.0

    def improves(self, value: float | None, on: float | None) -> bool:
        """Whether ``value`` is better; a figure that is not defined never is."""
        if value is None:
            return False
        if on is None:
            return True
        return value > on + self.delta if self.sense == "max" else value < on - self.delta


@dataclass(frozen=True, slots=True)
class Limit:
    """One figure that has to stay on one side of a number."""

    figure: str
    sense: Literal["<", ">"]
    bound: float

    def holds(self, value: float | None) -> bool:
        """Whether it does; a figure that is not defined does not."""
        if value is None:
            return False
        return value < self.bound if self.sense == "<" else value > self.bound


@dataclass(frozen=True, slots=True)
class Criteria:
    """All of them. The first ranking chooses the weights.

    Everything follows from the figures of the epochs so far, so a run that is resumed needs no
    other state to stop where it would have stopped.
    """

    rankings: tuple[Ranking, ...]
    limits: tuple[Limit, ...] = ()

    @property
    def figures(self) -> tuple[str, ...]:
        """Those that have to be measured after each epoch."""
        return tuple(dict.fromkeys(one.figure for one in (*self.rankings, *self.limits)))

    def allows(self, epoch: Epoch) -> bool:
        """Whether the epoch holds every limit."""
        return all(limit.holds(value_of(epoch, limit.figure)) for limit in self.limits)

    def is_best(self, epoch: Epoch, earlier: Sequence[Epoch]) -> bool:
        """Whether the epoch's weights are to be kept instead of those of ``earlier`` ones.

        ``delta`` only decides how long to wait, not which weights are better.
        """
        ranking = self.rankings[0]
        value = value_of(epoch, ranking.figure)
        if value is None:
            return False
        allowed = self.allows(epoch)
        rivals = [one for one in earlier if self.allows(one) or not allowed]
        if not allowed and any(self.allows(one) for one in earlier):
            return False
        bare = Ranking(ranking.figure, ranking.sense, ranking.patience)
        return all(bare.improves(value, value_of(one, ranking.figure)) for one in rivals)

    def exhausted(self, epochs: Sequence[Epoch], done: int) -> str:
        """Why there is nothing to wait for after ``done`` epochs; empty while there is.

        Args:
            epochs: those that count, in order.
            done: epochs run, those that do not count included.
        """
        waited = [done - self.last_improvement(one, epochs, done) for one in self.rankings]
        patient = any(wait < one.patience for one, wait in zip(self.rankings, waited, strict=True))
        if patient:
            return ""
        told = [
            f"{one.figure} no better for {wait} epochs"
            for one, wait in zip(self.rankings, waited, strict=True)
        ]
        return ", ".join(told)

    def last_improvement(self, ranking: Ranking, epochs: Sequence[Epoch], done: int) -> int:
        """Number of the epoch that last was better than all before it; ``done`` where none was.

        The first one that holds the limits is better than all that do not, and from then on those
        count no more: what may not be kept is nothing to be measured by.
        """
        best, number, any_allowed = None, done, False
        for epoch in epochs:
            allowed, value = self.allows(epoch), value_of(epoch, ranking.figure)
            if allowed and not any_allowed:
                best, any_allowed = None, True
            if allowed == any_allowed and ranking.improves(value, best):
                best, number = value, epoch.number
        return number


def value_of(epoch: Epoch, figure: str) -> float | None:
    """A figure of an epoch; None where it is not defined or was not measured."""
    value = epoch.validation_loss if figure == "loss" else epoch.figures.get(figure)
    return value if value is not None and math.isfinite(value) else None


def parse_criteria(text: str, patience: int) -> Criteria:
    """Read criteria; none at all, or limits alone, rank by the validation loss.

    Args:
        text: as in the module's first lines.
        patience: where a ranking names none.

    Raises:
        BadCriterion: with the part that cannot be read.
    """
    rankings: list[Ranking] = []
    limits: list[Limit] = []
    for part in filter(None, (one.strip() for one in text.split(","))):
        figure, *rest = (word.strip() for word in part.split(":"))
        if figure not in FIGURES:
            raise BadCriterion(f"`{part}` names no figure that is measured")
        if not rest:
            raise BadCriterion(f"`{part}` does not say what is wanted of {figure}")
        sense, *options = rest
        if sense == "max" or sense == "min":  # noqa: PLR1714 -- tells the type checker more
            rankings.append(ranking_of(part, figure, sense, options, patience))
        elif sense.startswith("<") and not options:
            limits.append(Limit(figure, "<", number_in(part, sense[1:])))
        elif sense.startswith(">") and not options:
            limits.append(Limit(figure, ">", number_in(part, sense[1:])))
        else:
            raise BadCriterion(f"`{part}`: wanted max, min, <NUMBER or >NUMBER after {figure}")
    return Criteria(tuple(rankings) or (Ranking("loss", "min", patience),), tuple(limits))


def ranking_of(
    part: str, figure: str, sense: Literal["max", "min"], options: Sequence[str], patience: int
) -> Ranking:
    delta = 0.0
    for option in options:
        name, _, value = option.partition("=")
        number = number_in(part, value)
        if name == "patience" and number >= 1 and number == int(number):
            patience = int(number)
        elif name == "delta" and number >= 0:
            delta = number
        else:
            raise BadCriterion(f"`{part}`: `{option}` is no patience=N and no delta=X")
    return Ranking(figure, sense, patience, delta)


def number_in(part: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BadCriterion(f"`{part}`: `{word}` is no number")
    return number
