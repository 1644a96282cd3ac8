"""What `prune` was asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast, get_args

from aitrade_cli.errors import Usage
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.inference.variants import FULL, Effort
from aitrade_cli.market.backtest import Costs

Schedule = Literal["once", "cubic"]

ROUNDS: Final = 3
EPOCHS: Final = 12
GROUP_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Settings:
    """One request. Exactly one of ``structured``, ``sparsity`` and ``pattern`` is set.

    Attributes:
        structured: share of units to remove, in (0, 1).
        sparsity: share of weights to set to zero, in (0, 1).
        pattern: how many of how many neighbouring weights to keep.
        per_layer: the sparsity holds in each layer, else in the whole network.
        finetune: train towards the dense parent afterwards.
        schedule: ``cubic`` lets the sparsity grow while it trains.
        rounds: of pruning and training, >= 1.
        epochs: at most, in the last round; earlier ones have a third.
        data: bars to rank, train and judge on; `None` takes what the artefact has or names.
        symbol: which instrument of those bars.
        budget: what the change may cost.
        costs: of trading, in the backtest.
        effort: how long models are timed against each other.
        seed: of training, noise, order of timing and bootstrap.
    """

    structured: float | None = None
    sparsity: float | None = None
    pattern: tuple[int, int] | None = None
    per_layer: bool = False
    finetune: bool = False
    schedule: Schedule = "once"
    rounds: int = ROUNDS
    epochs: int = EPOCHS
    data: str | None = None
    symbol: str | None = None
    budget: Budget = field(default_factory=Budget)
    costs: Costs = field(default_factory=Costs)
    effort: Effort = FULL
    seed: int = 0

    @property
    def way(self) -> str:
        """What is done, in a few words."""
        if self.structured is not None:
            return f"{self.structured:.0%} of the units removed"
        if self.pattern is not None:
            return "{}:{} pattern".format(*self.pattern)
        scope = "each layer" if self.per_layer else "all weights"
        return f"{self.sparsity or 0.0:.0%} of {scope} set to zero"

    def as_history(self) -> dict[str, object]:
        """What the artefact's history keeps."""
        return {
            "structured": self.structured,
            "sparsity": self.sparsity,
            "pattern": None if self.pattern is None else list(self.pattern),
            "per_layer": self.per_layer,
            "finetune": self.finetune,
            "schedule": self.schedule,
            "rounds": self.rounds if self.finetune else 1,
            "epochs": self.epochs if self.finetune else 0,
            "data": self.data,
            "symbol": self.symbol,
            "seed": self.seed,
        }


def settings_of(
    structured: float | None,
    sparsity: float | None,
    pattern: str | None,
    *,
    schedule: str,
    per_layer: bool,
    finetune: bool,
    **others: Any,  # noqa: ANN401 -- the remaining fields of `Settings`, as they are
) -> Settings:
    """The request behind a command line.

    Raises:
        Usage: the options contradict each other, or a value is out of its range.
    """
    check_asked(
        structured, sparsity, pattern, per_layer=per_layer, finetune=finetune, schedule=schedule
    )
    return Settings(
        structured=share_asked(structured, "--structured"),
        sparsity=share_asked(sparsity, "--sparsity"),
        pattern=pattern_asked(pattern),
        per_layer=per_layer,
        finetune=finetune,
        schedule=cast(Schedule, schedule),  # it was just checked
        **others,
    )


def check_asked(
    structured: float | None,
    sparsity: float | None,
    pattern: str | None,
    *,
    per_layer: bool,
    finetune: bool,
    schedule: str,
) -> None:
    """Raise unless the options make sense together.

    Raises:
        Usage: none or several kinds of pruning, or options that go with another kind.
    """
    asked = {"structured": structured, "sparsity": sparsity, "pattern": pattern}
    wanted = [f"`--{name}`" for name, value in asked.items() if value is not None]
    if len(wanted) != 1:
        raise Usage(
            "one of --structured, --sparsity, --pattern is wanted, found"
            f" {' and '.join(wanted) or 'none of them'}",
            hint="`--structured 0.5` makes a model smaller and faster",
        )
    if per_layer and sparsity is None:
        raise Usage("`--per-layer` goes with `--sparsity`")
    if schedule not in get_args(Schedule):
        raise Usage(
            f"no schedule is called `{schedule}`", hint=f"one of {', '.join(get_args(Schedule))}"
        )
    if schedule == "cubic" and (sparsity is None or not finetune):
        raise Usage("`--schedule cubic` goes with `--sparsity` and `--finetune`")


def share_asked(value: float | None, flag: str) -> float | None:
    """The share behind a flag.

    Raises:
        Usage: it is not strictly between 0 and 1.
    """
    if value is not None and not 0.0 < value < 1.0:
        raise Usage(
            f"`{flag}` is `{value:g}`, wanted a share between 0 and 1", hint=f"try `{flag} 0.5`"
        )
    return value


def pattern_asked(text: str | None) -> tuple[int, int] | None:
    """``2:4`` keeps two of each four.

    Raises:
        Usage: it is no pattern.
    """
    if text is None:
        return None
    keep, colon, of = text.partition(":")
    if not (colon and keep.isascii() and of.isascii() and keep.isdigit() and of.isdigit()):
        raise Usage(f"`--pattern` is `{text}`, not two numbers", hint="try `--pattern 2:4`")
    if not 0 < int(keep) < int(of) <= GROUP_MAX:
        raise Usage(
            f"`--pattern` is `{text}`: it must keep some of each group and not all",
            hint=f"try `--pattern 2:4`; a group has at most {GROUP_MAX}",
        )
    return int(keep), int(of)
