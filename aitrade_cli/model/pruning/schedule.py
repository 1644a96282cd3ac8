"""Let sparsity grow while a network learns, and hold what was set to zero at zero."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from aitrade_cli.errors import BadInput
from aitrade_cli.model.pruning.masks import apply, check_sparsity, masks_of


class BadSchedule(BadInput):
    """A schedule that has no steps."""


def cubic(step: int, steps: int, final: float, first: float = 0.0) -> float:
    r"""Sparsity after ``step`` of ``steps``: fast at first, slow when little is left to remove.

    $s_t = s_f + (s_i - s_f)(1 - t/n)^3$.

    Args:
        step: from 0; at ``steps`` and after, the final sparsity.
        steps: over which it grows, >= 1.
        final: sparsity in the end, in [0, 1).
        first: sparsity at step 0, in [0, 1).

    Raises:
        BadSchedule: no steps, or a negative one.

    Source:
        Zhu and Gupta 2017, equation 1. https://arxiv.org/abs/1710.01878
    """
    check_sparsity(final)
    check_sparsity(first)
    if steps < 1 or step < 0:
        raise BadSchedule(f"step `{step}` of `{steps}` is none")
    left = 1.0 - min(step, steps) / steps
    return final + (first - final) * left**3


@dataclass(slots=True)
class Held:
    """After each step of the optimizer, the same weights are zero again."""

    masks: Mapping[str, Tensor]

    def __call__(self, network: nn.Module, _step: int, _steps: int) -> None:
        apply(network, self.masks)


@dataclass(slots=True)
class Growing:
    """More and more weights are set to zero, the smallest of that moment first.

    Attributes:
        final: sparsity in the end.
        per_layer: of each layer, else of the whole network.
        grow_share: share of all steps over which it grows; the rest learns with what is left.
        every: steps between two looks at which weights are smallest.
        first: sparsity at the start.
        masks: what is zero now.
    """

    final: float
    per_layer: bool = False
    grow_share: float = 0.75
    every: int = 10
    first: float = 0.0
    masks: dict[str, Tensor] = field(default_factory=dict)

    def __call__(self, network: nn.Module, step: int, steps: int) -> None:
        growing = max(1, round(self.grow_share * steps))
        if not self.masks or (step <= growing and step % self.every == 0) or step == growing:
            wanted = cubic(step, growing, self.final, self.first)
            self.masks = masks_of(network, wanted, per_layer=self.per_layer)
        apply(network, self.masks)
