"""Proof of T15: the batch that is found, against others that are measured anew."""

from __future__ import annotations

from dataclasses import replace
from statistics import geometric_mean
from typing import Final

import numpy as np
from torch import nn

from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.train_cases import fixture_network, noise_labels
from aitrade_cli.inference.resampling import paired_ratio
from aitrade_cli.training.batch_size import (
    AS_FAST,
    LEAST,
    STEPS_AN_EPOCH,
    BatchChoice,
    find_batch,
)
from aitrade_cli.training.loop import Labels
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.trial import Trial, time_recipes

RECIPE: Final = Recipe(fused=True)
WINDOWS: Final = 1024
ROOM_FOR: Final = 100  # windows: no multiple of 8, and fewer than there are
LEAST_USED: Final = 0.75  # of the memory, or the largest batch is not the largest


def batches_are_found(quick: bool) -> CheckResult:
    """The batch that is found is as fast as its rivals, and the largest fits the memory."""
    bounds: list[Bound] = []
    told, gains = [], []
    for name in ("mlp",) if quick else ("mlp", "gru", "tcn"):
        network, goal = fixture_network(name), noise_labels(WINDOWS)
        found = find_batch(network, goal, RECIPE)
        rivals = measured_again(network, goal, found, rounds=9)
        least = min(share_of(found.batch, size, rivals)[1] for size in rivals)
        # A busy host must not fail a check.
        bounds.append(
            Bound(f"{name} speed, upper end", least, AS_FAST, "at_least", "of its best rival's")
        )
        used, largest = memory_of_largest(network, goal)
        bounds.append(Bound(f"{name} fits", used, 1.0, "at_most", "of the memory allowed"))
        bounds.append(Bound(f"{name} is largest", used, LEAST_USED, "at_least", "of it"))
        gains.append(share_of(found.batch, LEAST, rivals)[0])
        note = f"batch {found.batch} against {', '.join(str(one) for one in rivals)}"
        note = f"{note}; {largest} in the memory of {ROOM_FOR}; windows/s against batch {LEAST}"
        told.append(Case(name, gains[-1], None, note))
    return CheckResult(
        Measured(speedup=geometric_mean(gains)),
        tuple(bounds),
        "found among powers of two from 8 on, at eight steps a pass or more; then the smallest,"
        " half, double and the fastest are stepped anew in turns, and the largest that a small"
        " memory is said to hold is stepped under the meter",
        tuple(told),
    )


def measured_again(
    network: nn.Module, goal: Labels, found: BatchChoice, rounds: int
) -> dict[int, Trial]:
    """Steps of the batch that was found and of its rivals, by size."""
    fastest = max(found.candidates, key=lambda one: one.windows_per_s).batch
    sizes = {LEAST, found.batch // 2, found.batch, 2 * found.batch, fastest}
    most = len(goal) // STEPS_AN_EPOCH  # larger ones are not for the finder to take
    recipes = [replace(RECIPE, batch=one) for one in sorted(sizes) if LEAST <= one <= most]
    trials = time_recipes(network, goal, recipes, rounds=rounds)
    return {one.recipe.batch: one for one in trials}


def share_of(size: int, rival: int, trials: dict[int, Trial]) -> tuple[float, float]:
    """Windows a second of one size over another's, and the upper end of its 95 % interval."""
    one, other = (np.array(trials[each].seconds) / each for each in (size, rival))
    if size == rival:
        return 1.0, 1.0
    found = paired_ratio(other, one, seed=0)
    return found.value, found.interval.high


def memory_of_largest(network: nn.Module, goal: Labels) -> tuple[float, int]:
    """Bytes that the largest batch takes, of those that it was to fit; and that batch."""
    (small,) = time_recipes(network, goal, [replace(RECIPE, batch=64)], rounds=1)
    room = small.peak_bytes * ROOM_FOR // 64
    largest = find_batch(network, goal, RECIPE, memory_bytes=room).largest
    (taken,) = time_recipes(network, goal, [replace(RECIPE, batch=largest)], rounds=1)
    return taken.peak_bytes / room, largest
