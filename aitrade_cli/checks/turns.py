"""Timing ways of doing one thing in turn, with a control that can differ by noise alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from aitrade_cli.checks.result import Measured
from aitrade_cli.inference.resampling import Ratio, paired_ratio
from aitrade_cli.inference.variants import FULL, Effort

AGAIN = "again"  # the first way once more
BRIEF = replace(FULL, seconds=0.6)  # as many rounds: what disturbs a host lasts longer than a turn


@dataclass(frozen=True, slots=True)
class Turns:
    """Seconds of every way in every round, all from the same rounds."""

    seconds: Mapping[str, Float64[np.ndarray, " round"]]
    seed: int

    def speed(self, fast: str, slow: str) -> Ratio:
        """How many times ``fast`` is as fast as ``slow``, with its 95 % interval."""
        return paired_ratio(self.seconds[slow], self.seconds[fast], seed=self.seed)

    def measured(self, fast: str, slow: str, memory_saved: float | None = None) -> Measured:
        """The same as a check has it."""
        speed = self.speed(fast, slow)
        low, high = speed.interval.low, speed.interval.high
        return Measured(speed.value, low, high, memory_saved)

    def median(self, way: str) -> float:
        return float(np.median(self.seconds[way]))

    def control(self, first: str) -> str:
        """What the first way against itself gave, in words."""
        noise = self.speed(AGAIN, first)
        return (
            f"the same way twice: {noise.value:.2f}x"
            f" [{noise.interval.low:.2f}, {noise.interval.high:.2f}]"
        )


def take_turns(ways: Mapping[str, Callable[[], float]], rounds: int, *, seed: int = 0) -> Turns:
    """Run every way once a round, in a new order each time; the first one twice.

    Args:
        ways: each returns what its turn took, in seconds, so that preparing does not count.
        rounds: >= 1.
        seed: of the order and the bootstrap.
    """
    first = next(iter(ways))
    arms = {**ways, AGAIN: ways[first]}
    taken: dict[str, list[float]] = {name: [] for name in arms}
    rng = np.random.default_rng(seed)
    for _ in range(rounds):
        for name in rng.permutation(list(arms)).tolist():
            taken[name].append(arms[name]())
    return Turns({name: np.array(times) for name, times in taken.items()}, seed)


def seconds_of(work: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def effort_of(quick: bool) -> Effort:
    """How long a row times models in processes of their own."""
    return BRIEF if quick else FULL
