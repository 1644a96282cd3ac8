"""`--amp auto`: 16 bits only where they are faster on this network and this machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from torch import nn

from aitrade_cli.training.build import Build
from aitrade_cli.training.goal import Objective
from aitrade_cli.training.precision import WORDS, has_units, precision_named
from aitrade_cli.training.recipe import Precision, Recipe
from aitrade_cli.training.run import device_of
from aitrade_cli.training.trial import Trial, time_recipes

LEAST_GAIN: Final = 1.1  # the measurement is short; less than this may be chance
ROUNDS: Final = 7


@dataclass(frozen=True, slots=True)
class PrecisionChoice:
    """What matrix products are computed in, and why.

    Attributes:
        speedup: of a whole step against float32; None where nothing was measured.
        activations: bytes kept for going back, as a share of float32's.
    """

    precision: Precision
    why: str
    speedup: float | None = None
    activations: float | None = None


def choose_precision(
    asked: str,
    network: nn.Module,
    objective: Objective,
    recipe: Recipe,
    build: Build | None = None,
) -> PrecisionChoice:
    """Take the format that was asked for, or find out which is faster here.

    Args:
        asked: ``auto``, or a name in `precision.PRECISIONS`.
        network: as it will be trained; copies of it are stepped, itself it stays as it is.
        objective: of the run.
        recipe: of the run, but for the precision.
        build: stages of the run.

    Raises:
        NoUnits: a format was named that this processor has no units for.
    """
    device = device_of(network).type
    if asked != "auto":
        return PrecisionChoice(precision_named(asked, device), "as asked")
    if not has_units("bf16", device):
        return PrecisionChoice("fp32", f"this {device.upper()} has no units for bfloat16")
    recipes = [replace(recipe, precision="fp32"), replace(recipe, precision="bf16")]
    plain, half = time_recipes(network, objective, recipes, rounds=ROUNDS, build=build)
    gain = ratio(plain, half)
    kept = half.peak_bytes / max(1, plain.peak_bytes)
    if half.finite and gain >= LEAST_GAIN:
        return PrecisionChoice("bf16", f"{gain:.2f}x as fast here", gain, kept)
    return PrecisionChoice("fp32", f"{WORDS['bf16']} is {gain:.2f}x as fast here", gain, kept)


def ratio(plain: Trial, other: Trial) -> float:
    """How many times as fast: of medians over steps taken in turns."""
    return plain.median_s / other.median_s
