"""What a search is for: figures that should become small or large."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from aitrade_cli.errors import Usage
from aitrade_cli.training.criteria import FIGURES
from aitrade_cli.units import Number

Sense = Literal["minimize", "maximize"]

# What is measured on a trained network, besides the figures that each pass is validated by.
COSTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "latency": "microseconds a call at batch 1, eager, one thread",
        "size": "bytes of the weights",
        "seconds": "of training",
    }
)


class BadGoal(Usage):
    """Nothing of that name can be made smaller or larger."""

    default_hint = f"one of {', '.join((*FIGURES, *COSTS))}"


@dataclass(frozen=True, slots=True)
class Goal:
    """One figure and where it should go."""

    figure: str
    sense: Sense

    @property
    def each_pass(self) -> bool:
        """Whether it is known after every pass, so that a bad trial can be stopped early."""
        return self.figure in FIGURES

    def better(self, one: Number, other: Number) -> bool:
        """Whether the first is."""
        return one < other if self.sense == "minimize" else one > other

    def __str__(self) -> str:
        return f"{self.sense} {self.figure}"


def goals_of(minimize: Sequence[str], maximize: Sequence[str]) -> tuple[Goal, ...]:
    """Goals by their names, in the order of the flags; the loss where none is given.

    Raises:
        BadGoal: a name is unknown or given twice.
    """
    senses: tuple[tuple[Sense, Sequence[str]], ...] = (
        ("minimize", minimize),
        ("maximize", maximize),
    )
    found = tuple(
        Goal(name.strip(), sense)
        for sense, texts in senses
        for text in texts
        for name in text.split(",")
    )
    for goal in found:
        if goal.figure not in (*FIGURES, *COSTS):
            raise BadGoal(f"`--{goal.sense} {goal.figure}` is unknown")
    names = [goal.figure for goal in found]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise BadGoal(f"`{twice[0]}` is asked for twice", hint="name each figure once")
    return found or (Goal("loss", "minimize"),)


def beats(goals: Sequence[Goal], one: Sequence[Number], other: Sequence[Number]) -> bool:
    """True where ``one`` is nowhere worse and somewhere better."""
    pairs = list(zip(goals, one, other, strict=True))
    return any(goal.better(a, b) for goal, a, b in pairs) and not any(
        goal.better(b, a) for goal, a, b in pairs
    )


def front_of(goals: Sequence[Goal], values: Sequence[Sequence[Number]]) -> tuple[int, ...]:
    """Places of the trials that no other one beats; of equal ones the earliest."""
    kept: list[int] = []
    for place, mine in enumerate(values):
        others = [theirs for number, theirs in enumerate(values) if number != place]
        if any(beats(goals, theirs, mine) for theirs in others):
            continue
        if any(list(values[earlier]) == list(mine) for earlier in kept):
            continue
        kept.append(place)
    return tuple(kept)


def balanced(
    goals: Sequence[Goal],
    values: Sequence[Sequence[Number]],
    everyone: Sequence[Sequence[Number]] = (),
) -> int:
    """Place of the point of a front that lies nearest to the best of every goal at once.

    Each goal counts from 0 at its best on the front to 1 at its worst. Of points that are as near,
    such as the only two of a front, the one that is nearer on the scale of all trials.

    Args:
        goals: of the search.
        values: of the front.
        everyone: of all trials; decides between points that are as near.
    """
    near = distances(goals, values, values)
    wide = distances(goals, values, [*values, *everyone])
    least = min(near)
    ties = [place for place, distance in enumerate(near) if distance <= least + 1e-9]
    return min(ties, key=lambda place: wide[place])


def distances(
    goals: Sequence[Goal], values: Sequence[Sequence[Number]], scale: Sequence[Sequence[Number]]
) -> list[float]:
    """From each point to the best of every goal on ``values``, squared, in widths of ``scale``."""
    found = []
    for mine in values:
        total = 0.0
        for axis, goal in enumerate(goals):
            best = (min if goal.sense == "minimize" else max)(one[axis] for one in values)
            width = max(one[axis] for one in scale) - min(one[axis] for one in scale)
            total += ((mine[axis] - best) / width) ** 2 if width else 0.0
        found.append(total)
    return found
