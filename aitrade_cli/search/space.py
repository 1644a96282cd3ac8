"""What a search may vary: ranges and choices for the keys of a recipe."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from optuna.trial import Trial

from aitrade_cli.errors import BadInput
from aitrade_cli.units import Number

EDGES: Final = {"low", "high"}
WORDS: Final = {*EDGES, "log", "step"}
Scalar: TypeAlias = bool | int | float | str


class BadSpace(BadInput):
    """A range of `[search]` that cannot be searched."""

    default_hint = (
        "write `{ low = 1e-4, high = 1e-2, log = true }`, `{ low = 16, high = 64, step = 16 }`"
        " or a list of values"
    )


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both included; whole ones where both are.

    Attributes:
        log: drawn evenly in the logarithm; ``low`` is above 0 then.
        step: distance of the numbers that are drawn; None takes every one.
    """

    name: str
    low: Number
    high: Number
    log: bool = False
    step: Number | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def draw(self, trial: Trial) -> int | float:
        if self.whole:
            step = 1 if self.step is None else int(self.step)
            low, high = int(self.low), int(self.high)
            return trial.suggest_int(self.name, low, high, step=step, log=self.log)
        return trial.suggest_float(self.name, self.low, self.high, log=self.log, step=self.step)

    def holds(self, value: object) -> bool:
        """Whether a search could draw this value."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not self.low <= value <= self.high or (self.whole and not isinstance(value, int)):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-9

    def as_data(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "log": self.log, "step": self.step}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several values; a list or a table among them stands for itself."""

    name: str
    values: tuple[Any, ...]

    def draw(self, trial: Trial) -> Any:  # noqa: ANN401 -- any TOML value
        picked = trial.suggest_categorical(self.name, [json.dumps(one) for one in self.values])
        return json.loads(picked)

    def holds(self, value: object) -> bool:
        return any(type(one) is type(value) and one == value for one in self.values)

    def as_data(self) -> dict[str, Any]:
        return {"values": list(self.values)}


@dataclass(frozen=True, slots=True)
class Space:
    """All that varies, in the order in which it is drawn."""

    parts: tuple[Range | Choice, ...]

    def draw(self, trial: Trial) -> dict[str, Any]:
        """Values of one trial, by full names of keys."""
        return {part.name: part.draw(trial) for part in self.parts}

    def as_params(self, values: Mapping[str, Any]) -> dict[str, Scalar] | None:
        """What Optuna calls these values; None where a search could not draw them."""
        if not all(part.name in values and part.holds(values[part.name]) for part in self.parts):
            return None
        return {
            part.name: json.dumps(values[part.name])
            if isinstance(part, Choice)
            else values[part.name]
            for part in self.parts
        }

    def values_of(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """What the parameters of a finished trial mean."""
        return {
            part.name: json.loads(params[part.name])
            if isinstance(part, Choice)
            else params[part.name]
            for part in self.parts
            if part.name in params
        }

    def as_data(self) -> dict[str, Any]:
        """Plain data: two searches with the same are over the same space."""
        return {part.name: part.as_data() for part in self.parts}


def space_of(table: Mapping[str, Any], check: Callable[[str, Any], Any]) -> Space:
    """Read a ``[search]`` table.

    Args:
        table: keys of a recipe in full, ``"training.batch" = [32, 64]``, or nested in tables of
            their own, ``[search.training]``.
        check: given a key and a value at the edge of its range, returns it as the recipe would
            hold it, or raises.

    Raises:
        BadSpace: a range that is none, or nothing to search.
    """
    found = [part_of(name, told, check) for name, told in flat(table)]
    if not found:
        raise BadSpace("`[search]` varies nothing")
    return Space(tuple(found))


def flat(table: Mapping[str, Any], above: str = "") -> Sequence[tuple[str, Any]]:
    """Full names: a table whose keys are not those of a range is a section."""
    found: list[tuple[str, Any]] = []
    for name, told in table.items():
        if isinstance(told, Mapping) and not (told.keys() & EDGES or set() < told.keys() <= WORDS):
            found += flat(told, f"{above}{name}.")
        else:
            found.append((f"{above}{name}", told))
    return found


def part_of(name: str, told: object, check: Callable[[str, Any], Any]) -> Range | Choice:
    if isinstance(told, list):
        values = tuple(check(name, one) for one in told)
        if len({json.dumps(one) for one in values}) < 2:
            raise BadSpace(f"`{name}` has fewer than two values to choose from")
        return Choice(name, values)
    if not isinstance(told, Mapping) or not told.keys() >= EDGES:
        raise BadSpace(f"`{name}` is `{told!r:.40}`, which is no range")
    if told.keys() - WORDS:
        raise BadSpace(f"`{name}` has `{min(told.keys() - WORDS)}`, which no range takes")
    low, high = check(name, told["low"]), check(name, told["high"])
    log, step = told.get("log", False), told.get("step")
    numbers = [low, high, *([] if step is None else [step])]
    if any(isinstance(one, bool) or not isinstance(one, int | float) for one in numbers):
        raise BadSpace(f"`{name}` is not a number, so it has no range", hint="give a list")
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadSpace(f"`{name}` goes from `{low}` to `{high}`")
    if not isinstance(log, bool) or (log and (low <= 0 or step is not None)):
        raise BadSpace(f"`{name}` cannot be drawn by its logarithm: above 0, and without a step")
    if step is not None and not (step > 0 and (isinstance(low, float) or step == int(step))):
        raise BadSpace(f"`{name}` cannot go in steps of `{step}`")
    over = 0 if step is None else rest(high, low, step)
    if over:
        meets = f"end at {float(Decimal(str(high)) - over):g}"
        raise BadSpace(f"`{name}`: steps of `{step}` from `{low}` do not meet `{high}`", hint=meets)
    return Range(name, low, high, log, step)


def rest(high: Number, low: Number, step: Number) -> Decimal:
    """What is left over of a range after its last whole step, in the digits as they are written."""
    return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step))
