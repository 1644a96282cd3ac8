"""How many units each group keeps."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64

from aitrade_cli.errors import BadInput
from aitrade_cli.model.pruning.groups import Group

LEAST_OF_FAIR: Final = 0.7  # a group keeps at least this much of an equal share
MOST_OF_FAIR: Final = 0.85  # and at most this much, where its units are dear
DEAR: Final = 1.4  # times as many numbers a unit as in the pool on average


class BadShareOfUnits(BadInput):
    """The share of units to remove is out of its range."""

    def __init__(self, share: float) -> None:
        super().__init__(f"the share of units to remove must be in (0, 1), got `{share}`")


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """A group and what each of its units is worth.

    Attributes:
        group: the units.
        score: of each unit, >= 0; comparable between the groups of one pool.
        elements: numbers that one unit takes in all tensors.
    """

    group: Group
    score: Float64[np.ndarray, " unit"]
    elements: int

    def best(self, count: int) -> Int64[np.ndarray, " kept"]:
        """The ``count`` highest scored units, rising; ties go to the earlier one."""
        return np.sort(np.argsort(-self.score, kind="stable")[:count])


def allot(
    ranked: Sequence[Ranked],
    share: float,
    round_to: int = 8,
    original: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Decide how many units each group keeps, so that each pool loses ``share`` of its own.

    Within a pool the blocks of units with the least score for the numbers they take go first,
    but no group falls under 0.7 of an equal share, and one whose units are dear keeps at most
    0.85 of it. Whole heads go only where their numbers are
    worth no more than those of the narrower units that go.

    Args:
        ranked: the groups.
        share: of units to remove, in (0, 1).
        round_to: widths become multiples of it where a group has at least four times as many.
        original: units of each group before any pruning, where ``share`` is meant of those.

    Raises:
        BadShareOfUnits: ``share`` is out of its range.
    """
    if not 0.0 < share < 1.0:
        raise BadShareOfUnits(share)
    pools: dict[str, list[Ranked]] = {}
    for one in ranked:
        pools.setdefault(one.group.pool, []).append(one)
    units = {one.group.name: one.group.units for one in ranked}
    units |= {name: count for name, count in (original or {}).items() if name in units}
    kept: dict[str, int] = {}
    dearest = 0.0
    for pool in sorted(pools.values(), key=is_whole):  # heads last
        ceiling = dearest if is_whole(pool) and kept else math.inf
        left, worth = allot_pool(pool, share, round_to, units, ceiling)
        kept |= left
        dearest = max(dearest, worth)
    return kept


def is_whole(pool: Sequence[Ranked]) -> bool:
    return pool[0].group.whole


def allot_pool(
    pool: Sequence[Ranked],
    share: float,
    round_to: int,
    original: Mapping[str, int],
    ceiling: float,
) -> tuple[dict[str, int], float]:
    """Units that each group keeps, and the worth of the dearest block that went."""
    kept = {one.group.name: one.group.units for one in pool}
    wanted = (1.0 - share) * sum(original[name] for name in kept)
    dearest = 0.0
    for one in dear_ones(pool):
        name = one.group.name
        step = step_of(one.group, round_to, original[name])
        most = int(MOST_OF_FAIR * (1.0 - share) * original[name]) // step * step
        kept[name] = min(kept[name], max(most, step))
    while True:
        blocks = [
            block
            for one in pool
            if (block := next_block(one, kept[one.group.name], share, round_to, original))
        ]
        worth, size, name = min(blocks, default=(math.inf, 0, ""))
        # The nearer side of what is wanted.
        if not blocks or worth > ceiling or sum(kept.values()) - size / 2 < wanted:
            return kept, dearest
        kept[name] -= size
        dearest = max(dearest, worth)


def dear_ones(pool: Sequence[Ranked]) -> list[Ranked]:
    """Groups whose units take far more numbers than others', such as a layer on a whole window."""
    average = sum(one.elements for one in pool) / len(pool)
    return [one for one in pool if one.elements > DEAR * average and not one.group.whole]


def next_block(
    one: Ranked, kept: int, share: float, round_to: int, original: Mapping[str, int]
) -> tuple[float, int, str] | None:
    """Worth and size of the block that would go next; None where the group is at its least."""
    step = step_of(one.group, round_to, original[one.group.name])
    size = kept % step or step
    least = LEAST_OF_FAIR * (1.0 - share) * original[one.group.name]
    if kept - size < max(least, 1):
        return None
    order = np.argsort(-one.score, kind="stable")
    worth = float(one.score[order[kept - size : kept]].sum()) / (size * max(one.elements, 1))
    return worth, size, one.group.name


def step_of(group: Group, round_to: int, units: int) -> int:
    """Whole heads go one by one; other units in blocks, smaller ones in a small group."""
    if group.whole:
        return 1
    step = round_to
    while step > 1 and units < 4 * step:
        step //= 2
    return max(step, 1)
