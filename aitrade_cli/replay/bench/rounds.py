"""Time several ways to do the same thing in turn, in one process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float64

WARM_ROUNDS: Final = 5
CACHE_BYTES: Final = 8_000_000  # more than a core keeps for itself
DRAWS: Final = 1_000  # of the bootstrap
TRIES: Final = 50  # at an order in which nothing follows itself

Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True, slots=True)
class Spread:
    """A median and where 95 of 100 repeats of the run would put it."""

    value: float
    low: float
    high: float


def time_in_turn(
    ways: Mapping[str, Prepare],
    *,
    rounds: int,
    repeat: int = 1,
    apart: frozenset[str] = frozenset(),
    seed: int = 0,
) -> dict[str, Float64[np.ndarray, " round"]]:
    """Microseconds of one call, each way once a round, in an order drawn anew each round.

    Args:
        ways: by name: what prepares one round and returns the call that is timed.
        rounds: that count; a few more run before.
        repeat: calls in a row that share one reading of the clock.
        apart: ways that work on the same data: none follows another where it can be
            helped, or it would find that in the cache.
        seed: of the orders.
    """
    taken = {name: np.empty(rounds) for name in ways}
    orders = orders_of(tuple(ways), apart, seed)
    others_work = np.zeros(CACHE_BYTES // 8)
    collecting = gc.isenabled()
    gc.disable()
    try:
        for turn in range(-WARM_ROUNDS, rounds):
            for name in next(orders):
                others_work += 1.0  # none finds its code or its rows where another left them
                call = ways[name]()
                start = time.perf_counter_ns()
                for _ in range(repeat):
                    call()
                spent = time.perf_counter_ns() - start
                if turn >= 0:
                    taken[name][turn] = spent / repeat / 1e3
            gc.collect(0)
    finally:
        if collecting:
            gc.enable()
    return taken


def orders_of(names: tuple[str, ...], apart: frozenset[str], seed: int) -> Iterator[list[str]]:
    """Random orders without end in which no two of ``apart`` follow each other."""
    rng = np.random.default_rng(seed)
    order = list(names)
    while True:
        for _ in range(TRIES):
            order = [names[k] for k in rng.permutation(len(names))]
            if not any({one, other} <= apart for one, other in pairwise(order)):
                break
        yield order


def ratio_of(
    theirs: Float64[np.ndarray, " round"], ours: Float64[np.ndarray, " round"], seed: int
) -> Spread:
    """How many times longer they take: the median of the ratios of each round."""
    return spread(theirs / ours, seed)


def spread(values: Float64[np.ndarray, " round"], seed: int) -> Spread:
    """The median and its bootstrap interval over rounds.

    Source:
        Efron 1979, the percentile method. https://doi.org/10.1214/aos/1176344552
    """
    chosen = np.random.default_rng(seed).integers(0, len(values), (DRAWS, len(values)))
    low, high = np.percentile(np.median(values[chosen], axis=1), (2.5, 97.5))
    return Spread(float(np.median(values)), float(low), float(high))


def in_parts(count: int, size: int) -> Sequence[tuple[int, int]]:
    """``count`` rows as starts and ends of parts of at most ``size``."""
    return [(at, min(at + size, count)) for at in range(0, count, size)]
