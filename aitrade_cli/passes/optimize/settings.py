"""What `optimize` was asked for."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, cast, get_args

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs

Minimize = Literal["latency", "size"]

FLIPS_WITHOUT_BUDGET: Final = 0.01  # what "trades the same" means where no `--max-flips` says
SECONDS: Final = 600.0
UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


class BadDuration(Usage):
    """A length of time that cannot be read."""

    default_hint = "write `90s`, `10m` or `2h`"


class BadObjective(Usage):
    """Nothing of that name can be minimized."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One request.

    Attributes:
        data: bars to train and judge on; None takes those that the artefact remembers.
        symbol: which instrument of those bars.
        budget: what the change may cost.
        costs: of trading, in the backtest.
        effort: how long models are timed against each other.
        minimize: latency at batch 1, or bytes.
        seconds: for everything but the last judgement, > 0.
        trials: shapes to try at most; None tries as many as the time allows.
        threads: counts to try, the smallest first.
        seed: of proposals, training, noise, timing order and bootstrap.
    """

    data: str | None = None
    symbol: str | None = None
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    effort: Effort = FULL
    minimize: Minimize = "latency"
    seconds: float = SECONDS
    trials: int | None = None
    threads: tuple[int, ...] = (1,)
    seed: int = 0

    @property
    def flips_allowed(self) -> float:
        """Share of bars on which the result may decide otherwise."""
        found = self.budget.max_flips
        return FLIPS_WITHOUT_BUDGET if found is None else found

    def as_history(self) -> dict[str, object]:
        """What the artefact's history keeps."""
        return {
            "data": self.data,
            "symbol": self.symbol,
            "flips_allowed": self.flips_allowed,
            "minimize": self.minimize,
            "seconds": self.seconds,
            "trials": self.trials,
            "threads": list(self.threads),
            "seed": self.seed,
        }


def seconds_of(text: str) -> float:
    """``90s``, ``10m``, ``2h`` or plain seconds.

    Raises:
        BadDuration: it is none of these, or not above zero.
    """
    found = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([smh]?)", text.strip())
    if found is None:
        raise BadDuration(f"`{text}` is no length of time")
    seconds = float(found[1]) * UNITS[found[2]]
    if not 0.0 < seconds < math.inf:
        raise BadDuration(f"`{text}` is no time at all")
    return seconds


def study_folder(name: str, sha256: str | None) -> Path:
    """Where a search is remembered without `--study`: named after the model and its content."""
    stem = Path(name).stem.strip("-") or "model"
    return Path(f"{stem}-{(sha256 or 'new')[:8]}.study")


def refuse_unused(given: Mapping[str, object]) -> None:
    """Options of a search mean nothing where nothing is searched.

    Raises:
        Usage: one of them was given.
    """
    unused = [flag for flag, value in given.items() if value is not None]
    if unused:
        raise Usage(f"`{unused[0]}` does nothing beside `--graph-only`, which searches nothing")


def minimize_of(word: str) -> Minimize:
    """An objective by its name.

    Raises:
        BadObjective: there is none of that name.
    """
    if word not in get_args(Minimize):
        raise BadObjective(
            f"`--minimize {word}` is unknown", hint=f"one of {', '.join(get_args(Minimize))}"
        )
    return cast(Minimize, word)  # it was just looked up
