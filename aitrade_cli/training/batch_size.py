"""`--batch auto`: the largest batch that fits, and the smallest that is as fast as any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import psutil
import torch
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.training.build import Build
from aitrade_cli.training.goal import Objective
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of
from aitrade_cli.training.trial import Trial, time_recipes

LEAST: Final = 8  # tensor cores and vector registers take eights
LARGEST: Final = 4096
SHARE_OF_FREE: Final = 0.5  # of the memory that is free now: others need some, and so does Adam
AS_FAST: Final = 0.95  # of the best
STEPS_AN_EPOCH: Final = 8  # fewer teach little, whatever their speed
ROUNDS: Final = 3
RACE_ROUNDS: Final = 7
CONTENDS: Final = 0.7  # of the best, by the first look: others are not looked at again


@dataclass(frozen=True, slots=True)
class Candidate:
    """One batch size, measured."""

    batch: int
    windows_per_s: float
    activation_bytes: int


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """What was measured, and what is taken.

    Attributes:
        batch: the smallest whose throughput is 95 % of the best; a larger one takes fewer steps
            over the same windows and learns less from them.
        largest: multiple of 8 whose activations fit the memory, by the bytes a window was
            measured to take; not more than there are training windows.
        memory_bytes: that activations may take.
        candidates: all that were tried.
    """

    batch: int
    largest: int
    memory_bytes: int
    candidates: tuple[Candidate, ...]


def find_batch(
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    *,
    memory_bytes: int | None = None,
    build: Build | None = None,
) -> BatchChoice:
    """Measure powers of two from 8 on until memory, windows or gains end; then race the fastest.

    Args:
        network: copies of it are stepped.
        objective: of the run; at least 8 windows.
        recipe: of the run; its batch is not looked at. Accumulated parts are measured as such,
            and no batch is smaller than their number.
        memory_bytes: that activations may take; half of what is free by default.
        build: stages of the run.

    Raises:
        BadInput: fewer than 8 training windows or than parts, or not even so many of them fit.
    """
    room = free_bytes(device_of(network).type) if memory_bytes is None else memory_bytes
    least = LEAST
    while least < recipe.accumulate:
        least *= 2
    if len(objective) < least:
        raise BadInput(f"{len(objective)} training windows are too few to find a batch size")
    most = max(least, min(LARGEST, len(objective) // STEPS_AN_EPOCH))
    bench = Finder(network, objective, recipe, build, room)
    found: list[Candidate] = []
    size: int | None = least
    while size is not None and (one := bench.tried(size)) is not None:
        found.append(one)
        if levelled(found):
            found = bench.raced(found)  # so short a look may be wrong: is it level?
            if not grows(found):
                break
        size = next_size(found, most, room)
    else:
        found = bench.raced(found)
    if not found:
        raise BadInput(
            f"not even {least} windows fit into {room:,} bytes",
            hint="`--activation-checkpointing` or `--accumulate` needs less memory",
        )
    best = max(one.windows_per_s for one in found)
    chosen = next(one for one in found if one.windows_per_s >= AS_FAST * best)
    each = found[-1].activation_bytes / found[-1].batch
    fits = int(room / max(1.0, each)) // LEAST * LEAST
    largest = max(chosen.batch, min(fits, len(objective) // LEAST * LEAST))
    return BatchChoice(chosen.batch, largest, room, tuple(found))


@dataclass(frozen=True, slots=True)
class Finder:
    """Steps batches of different sizes on copies of one network."""

    network: nn.Module
    objective: Objective
    recipe: Recipe
    build: Build | None
    room: int

    def tried(self, batch: int) -> Candidate | None:
        """One size by itself, by its fastest step; None where it does not fit."""
        trials = self.steps([batch], ROUNDS)
        if not trials or trials[0].peak_bytes > self.room:
            return None
        return Candidate(batch, batch / min(trials[0].seconds), trials[0].peak_bytes)

    def steps(self, batches: Sequence[int], rounds: int) -> Sequence[Trial]:
        """Steps of these sizes in turns; none where the memory of a GPU is not enough."""
        recipes = [replace(self.recipe, batch=one) for one in batches]
        try:
            return time_recipes(
                self.network, self.objective, recipes, rounds=rounds, build=self.build
            )
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            return ()

    def raced(self, found: Sequence[Candidate]) -> list[Candidate]:
        """The same, those that may be among the fastest measured again, in turns."""
        if len(found) < 2:
            return list(found)
        best = max(one.windows_per_s for one in found)
        again = [one for one in found if one.windows_per_s >= CONTENDS * best or one is found[-1]]
        trials = self.steps([one.batch for one in again], RACE_ROUNDS)
        speeds = {one.recipe.batch: one.windows_per_s for one in trials}
        # What is out of the race by its own measure stays out of it by the race's.
        slowest = min(speeds.values(), default=best)
        return [
            replace(one, windows_per_s=speeds.get(one.batch, min(one.windows_per_s, slowest)))
            for one in found
        ]


def next_size(found: Sequence[Candidate], most: int, room: int) -> int | None:
    """Twice the last; None where windows or memory end."""
    last = found[-1]
    fits = 2 * last.batch <= most and 2 * last.activation_bytes <= room
    return 2 * last.batch if fits else None


def grows(found: Sequence[Candidate]) -> bool:
    """Whether the last doubling brought something after all."""
    *before, last = (one.windows_per_s for one in found)
    return last * AS_FAST > max(before)


def levelled(found: list[Candidate]) -> bool:
    """Whether the last two doublings brought next to nothing."""
    if len(found) < 3:
        return False
    before, *later = (one.windows_per_s for one in found[-3:])
    return max(later) < before / AS_FAST


def free_bytes(device: str) -> int:
    """What activations may take of the memory that is free now."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0] * SHARE_OF_FREE)
    return int(psutil.virtual_memory().available * SHARE_OF_FREE)
