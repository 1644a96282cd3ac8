"""What a search asks of whoever answers its trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

# Told the number of a pass and the goal's figure after it; says whether to stop.
OnEpoch = Callable[[int, float | None], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one trial.

    Attributes:
        values: of the goals, in their order.
        figures: everything that was measured.
        epochs: passes that were trained; ``planned``: at the most.
        pruned: it was stopped early, so that the values are not its best.
        looks: Sharpe ratio per bar of every pass, where the best of them was taken for it.
        found: keys of the recipe that were to be found by measurement, and what was.
        refused: why it does not count although it was measured; empty where it does.
    """

    values: tuple[float, ...]
    figures: Mapping[str, float | None]
    epochs: int
    planned: int
    pruned: bool = False
    looks: tuple[float, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
    refused: str = ""


@runtime_checkable
class Evaluate(Protocol):
    """Anything that answers a trial; a function will do."""

    def __call__(self, values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
        """Answer one trial.

        Raises:
            AitradeError: these values have no answer; the search goes on without them.
        """
        ...


@runtime_checkable
class Opens(Protocol):
    """What is sent to a process or a machine: it must be picklable."""

    def open(self) -> Evaluate:
        """Be ready to answer trials."""
        ...
