"""What was tried on a command, and what it took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aitrade_cli.system.tuning.plan import setting_of
from aitrade_cli.system.tuning.trials import Comparison
from aitrade_cli.units import Number


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings that are judged as one."""

    name: str
    values: Mapping[str, str]  # by the line's key

    @property
    def variables(self) -> dict[str, str]:
        pairs = ((setting_of(key), value) for key, value in self.values.items())
        return {one.place: value for one, value in pairs if one.backend == "environment"}


@dataclass(frozen=True, slots=True)
class Trial:
    """What the command took in one arm; medians over its restarts."""

    name: str
    keys: tuple[str, ...]
    wall_seconds: Number
    cpu_seconds: Number
    minor_faults: Number
    switches: Number
    throttled: Number
    speed: Comparison | None  # None for the base itself
    kept: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What `--prove` measured. ``band`` is the noise: base against base.

    ``taken_out`` are variables of the caller's, with their values, that the base runs without.
    """

    command: tuple[str, ...]
    rounds: int
    band: Number
    trials: tuple[Trial, ...]
    not_judged: tuple[str, ...]  # with the reason
    taken_out: tuple[str, ...] = ()

    JSON_PROPERTIES = ("kept",)

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(trial.name for trial in self.trials if trial.kept)
