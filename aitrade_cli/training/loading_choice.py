"""Find loader settings by trying them: those that deliver batches fastest on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import product
from typing import Final

import torch

from aitrade_cli.system.host import usable_cores
from aitrade_cli.training.loading import Batch, Loader, LoaderSettings, Source

AHEAD: Final = (2, 4)  # batches ahead that are tried
FIRST_SECONDS: Final = 0.1  # that each setting is given in the first two rounds
HOPELESS: Final = 0.6  # of the best rate; slower ones are dropped after a round
CLOSE: Final = 0.97  # of the best rate: fewer workers are preferred to the last 3 %
ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting and how fast it was."""

    settings: LoaderSettings
    rows_per_second: float  # best of its rounds
    rounds: int


@dataclass(frozen=True, slots=True)
class LoaderChoice:
    """What was found, and everything it was compared with.

    Attributes:
        settings: the fastest, or within 3 % of it with fewer workers.
        tried: all settings, the fastest first; those that were dropped have fewer rounds.
        seconds: that finding it took.
    """

    settings: LoaderSettings
    tried: tuple[Tried, ...]
    seconds: float

    @property
    def over_none(self) -> float | None:
        """Rate of the choice over that without workers; None where that was not tried."""
        rates = {one.settings: one.rows_per_second for one in self.tried}
        alone = [rate for one, rate in rates.items() if one.workers == 0]
        return rates[self.settings] / max(alone) if alone else None

    def __str__(self) -> str:
        fastest = max(one.rows_per_second for one in self.tried)
        return f"{self.settings}: {fastest:,.0f} windows a second, of {len(self.tried)} tried"


def grid(cores: int | None = None, *, cuda: bool | None = None) -> tuple[LoaderSettings, ...]:
    """All settings that are tried: no worker to one a core, and pinned where there is a GPU.

    Args:
        cores: to count workers by; those this process may use where not given.
        cuda: whether batches go to a GPU; asked of torch where not given.
    """
    cores = len(usable_cores()) if cores is None else cores
    cuda = torch.cuda.is_available() if cuda is None else cuda
    counts = sorted({0, 1, 2, 4, cores // 2, cores} & set(range(cores + 1)))
    pins = (False, True) if cuda else (False,)
    return tuple(
        LoaderSettings(workers, ahead, pinned)
        for workers, pinned in product(counts, pins)
        for ahead in (AHEAD if workers else AHEAD[:1])
    )


def find_settings(
    source: Source,
    batch: int,
    *,
    consume: Callable[[Batch], object] = lambda _: None,
    among: Sequence[LoaderSettings] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> LoaderChoice:
    """Race loader settings against each other and return the one to train with.

    Settings take turns, so that a busy moment hits all alike. After two short rounds, and each
    that follows, those far behind are dropped and the others get twice the time.

    Args:
        source: the rows that will be trained on.
        batch: rows in a batch.
        consume: what happens to a batch: a training step, where workers are to be judged by
            how much of their work it hides.
        among: settings to try; `grid` where not given.
        clock: seconds, rising.
    """
    began = clock()
    with ExitStack() as stack:
        racers = [
            Racer(stack.enter_context(Loader(source, one)), batch, consume, clock)
            for one in (grid() if among is None else among)
        ]
        running, seconds = list(racers), FIRST_SECONDS
        for number in range(ROUNDS):
            for racer in running:
                racer.run(seconds)
            if number == 0:
                continue  # one short look on a host that others use drops the best now and then
            best = max(racer.rate for racer in running)
            running = [racer for racer in running if racer.rate >= HOPELESS * best]
            seconds *= 2
            if len(running) == 1:
                break
        tried = tuple(
            Tried(racer.loader.settings, racer.rate, racer.rounds)
            for racer in sorted(racers, key=lambda racer: -racer.rate)
        )
    return LoaderChoice(chosen(tried), tried, clock() - began)


def chosen(tried: Sequence[Tried]) -> LoaderSettings:
    """The fastest of those that ran all rounds; among near equals the one with least machinery."""
    longest = max(one.rounds for one in tried)
    finished = [one for one in tried if one.rounds == longest]
    best = max(one.rows_per_second for one in finished)
    close = [one.settings for one in finished if one.rows_per_second >= CLOSE * best]
    return min(close, key=lambda one: (one.workers, one.pinned, one.prefetch))


@dataclass
class Racer:
    """One setting in the race."""

    loader: Loader
    batch: int
    consume: Callable[[Batch], object]
    clock: Callable[[], float]
    rate: float = 0.0  # rows a second, the best round
    rounds: int = 0
    _endless: Iterator[Batch] | None = field(default=None, repr=False)

    def run(self, seconds: float) -> None:
        """Deliver batches for that long; the first one is not timed: it starts the workers."""
        batches = self._batches()
        self.consume(next(batches))
        rows, began = 0, self.clock()
        while True:
            batch = next(batches)
            self.consume(batch)
            rows += len(batch[0])
            took = self.clock() - began
            if took >= seconds:
                break
        self.rate = max(self.rate, rows / took)
        self.rounds += 1

    def _batches(self) -> Iterator[Batch]:
        # A pass that goes on from round to round would have batches ready before the clock
        # starts, so each round begins a pass of its own.
        order = torch.randperm(
            len(self.loader.source), generator=torch.Generator().manual_seed(self.rounds)
        )
        while True:
            yield from self.loader.batches(order, self.batch)
