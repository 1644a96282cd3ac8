"""What `distill` was asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs
from aitrade_cli.model.architectures import ARCHITECTURES
from aitrade_cli.training.run import Recipe

TEMPERATURE: Final = 3.0
WEIGHT: Final = 0.9
SHARE_OF_TEACHER: Final = 0.25  # of its parameters, where no size was asked for
USUAL_MOST: Final = 100_000  # and no more than these: training takes minutes, not an hour
RECIPE: Final = Recipe(epochs=20, batch=128, learning_rate=2e-3, weight_decay=1e-2, patience=5)
THOUSANDS: Final = {"k": 1_000, "m": 1_000_000}


class BadSize(Usage):
    """A size that is no count or no ratio."""

    default_hint = "write `--params 50k` or `--speedup 4x`"


@dataclass(frozen=True, slots=True)
class Settings:
    """One request.

    Attributes:
        student: name of a built-in architecture.
        parameters: the student may have at most so many; a quarter of the teacher's, and
            100,000 at the most, where neither this nor ``speedup`` is given.
        speedup: times that the student is to be as fast as the teacher, batch 1.
        temperature: of the teacher's answers, > 0.
        weight: share of the loss that is the teacher's, 0..1.
        feature_weight: of the distance between features; 0 leaves them out.
        recipe: of the training; its seed is that of the whole run.
        data: bars to train and judge on.
        symbol: which instrument of those bars.
        run_dir: where the state is kept; None keeps none.
        resume: go on from that state.
        force: write over that state where it is not gone on from.
        budget: what the change may cost.
        costs: of trading, in the backtest.
        effort: how long models are timed against each other.
    """

    student: str
    parameters: int | None = None
    speedup: float | None = None
    temperature: float = TEMPERATURE
    weight: float = WEIGHT
    feature_weight: float = 0.0
    recipe: Recipe = RECIPE
    data: str | None = None
    symbol: str | None = None
    run_dir: Path | None = None
    resume: bool = False
    force: bool = False
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    effort: Effort = FULL

    def __post_init__(self) -> None:
        if self.parameters is not None and self.speedup is not None:
            raise Usage(
                "`--params` and `--speedup` both set the student's size",
                hint="keep one of the two",
            )
        if self.student not in ARCHITECTURES:
            raise Usage(
                f"no built-in architecture is called `{self.student}`",
                hint=f"`--student` with one of {', '.join(ARCHITECTURES)}",
            )
        if self.resume and self.run_dir is None:
            raise Usage("`--resume` needs to know what to resume", hint="add `--run-dir DIR`")
        if (
            not 0.0 < self.temperature < math.inf  # no comparison holds for NaN
            or not 0.0 <= self.weight <= 1.0
            or not 0.0 <= self.feature_weight < math.inf
        ):
            raise Usage(
                f"temperature `{self.temperature}`, weight `{self.weight}` and features"
                f" `{self.feature_weight}` are out of range: wanted above 0, 0 to 1, at least 0"
            )

    def as_history(self) -> dict[str, Any]:
        """Plain data for the artefact's history, and for the key of a resumed run."""
        return {
            "student": self.student,
            "parameters": self.parameters,
            "speedup": self.speedup,
            "temperature": self.temperature,
            "weight": self.weight,
            "feature_weight": self.feature_weight,
            "epochs": self.recipe.epochs,
            "batch": self.recipe.batch,
            "learning_rate": self.recipe.learning_rate,
            "weight_decay": self.recipe.weight_decay,
            "patience": self.recipe.patience,
            "seed": self.recipe.seed,
            "symbol": self.symbol,
        }


def recipe_of(epochs: int, patience: int, seed: int) -> Recipe:
    """The usual recipe, as long and as patient as asked for."""
    return replace(RECIPE, epochs=epochs, patience=patience, seed=seed)


def count_of(text: str | None) -> int | None:
    """``50k``, ``1.5m`` and ``50000`` as a whole number.

    Raises:
        BadSize: not a count of at least one.
    """
    if text is None:
        return None
    word = text.strip().lower().replace("_", "").replace(",", "")
    factor = THOUSANDS.get(word[-1:], 1)
    value = number(word[:-1] if factor > 1 else word) * factor
    if not 1 <= value < 1e15:
        raise BadSize(f"`--params {text}` is no count")
    return round(value)


def times_of(text: str | None) -> float | None:
    """``4x`` and ``4`` as 4.0.

    Raises:
        BadSize: not a ratio above one.
    """
    if text is None:
        return None
    value = number(text.strip().lower().removesuffix("x"))
    if not 1.0 < value < 1e6:
        raise BadSize(f"`--speedup {text}` is no ratio above one")
    return value


def number(word: str) -> float:
    """The number, or NaN, which no range holds."""
    try:
        return float(word)
    except ValueError:
        return math.nan
