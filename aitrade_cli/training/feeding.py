"""A run's batches cut by processes of their own, ahead of use: the same batches, same order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.build import adamw
from aitrade_cli.training.loading import Batch, Loader, LoaderSettings, SharedWindows
from aitrade_cli.training.loading_choice import AHEAD, LoaderChoice, find_settings, grid
from aitrade_cli.training.loop import Examples, Labels
from aitrade_cli.training.randomness import apart
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of, threads_for


class Feeder:
    """Hands out examples in the order that a pass announced; what was not announced, at once.

    Nothing of it is part of a run's state: a pass that is taken up announces what is left of it.

    Args:
        examples: moved to memory that the workers share.
        settings: of the loader.
    """

    def __init__(self, examples: Examples, settings: LoaderSettings) -> None:
        self.loader = Loader(SharedWindows.of(examples), settings)
        self.expected: deque[Tensor] = deque()
        self.batches: Iterator[Batch] = iter(())

    def coming(self, parts: Iterable[Tensor]) -> None:
        """The rows that will be asked for, in this order; what is left of a pass before goes."""
        self.expected = deque(parts)
        self.batches = self.loader.in_parts(tuple(self.expected))

    def draw(self, rows: Int64[np.ndarray, " n"]) -> Batch:
        """Windows and classes of these rows."""
        if self.expected and np.array_equal(self.expected[0].numpy(), rows):
            self.expected.popleft()
            return next(self.batches)
        return self.loader.source.batch(torch.from_numpy(rows))


@contextmanager
def fed(objective: Labels, settings: LoaderSettings) -> Iterator[None]:
    """Let an objective draw through a loader inside; without workers it cuts its own batches."""
    if not settings.workers:
        yield
        return
    feeder = Feeder(objective.training, settings)
    objective.feed = feeder
    try:
        yield
    finally:
        objective.feed = None
        feeder.loader.close()


def find_workers(network: nn.Module, objective: Labels, recipe: Recipe) -> LoaderChoice:
    """How many workers a run is fastest with, each batch followed by a step on a copy.

    Neither the network nor any generator of the caller's is changed.
    """
    among = [one for one in grid(cuda=False) if one.prefetch == AHEAD[0]]
    with apart(0, cuda=device_of(network).type == "cuda"), pool_of(threads_for(network)):
        return find_settings(
            SharedWindows.of(objective.training),
            recipe.batch,
            consume=steps_on(deepcopy(network).train(), recipe),
            among=among,
        )


def steps_on(network: nn.Module, recipe: Recipe) -> Callable[[Batch], None]:
    """Plain steps, which change the network."""
    device, optimizer = device_of(network), adamw(list(network.parameters()), recipe)

    def step(batch: Batch) -> None:
        windows, classes = (part.to(device) for part in batch)
        optimizer.zero_grad()
        functional.cross_entropy(network(windows), classes).backward()
        optimizer.step()

    return step
