"""What must be cut together: a unit and every slice of every tensor that belongs to it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int64

from aitrade_cli.model.surgery import Cut

Side = Literal["makes", "reads"]


class NoRule(Exception):
    """A layer whose units nobody wrote down how to cut."""


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """The part of one tensor that a group's units own.

    Attributes:
        tensor: its name in the state dict.
        axis: along which the units lie.
        places: for each unit, its places on that axis; a gated unit has one a gate.
        side: whether these numbers make the unit's value, or read it further on.
    """

    tensor: str
    axis: int
    places: Int64[np.ndarray, "unit place"]
    side: Side


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Units that can only be removed everywhere at once.

    Attributes:
        name: of the layer that makes them.
        units: how many there are.
        members: every slice that goes with them.
        whole: units are few and large (attention heads), so their number is not rounded.
    """

    name: str
    units: int
    members: tuple[Member, ...]
    whole: bool = False

    @property
    def pool(self) -> str:
        """Groups of the same kind share what is to be removed: the name without its numbers."""
        return re.sub(r"\.\d+", "", self.name)


@dataclass(frozen=True, slots=True)
class Untouched:
    """A layer that was left as it was, and why."""

    name: str
    reason: str


def cuts_of(
    kept: Sequence[tuple[Group, Int64[np.ndarray, " _"]]], shapes: Mapping[str, Sequence[int]]
) -> list[Cut]:
    """What keeping only these units of each group means for every tensor: one cut an axis.

    All at once, for two groups may own different stretches of the same axis.
    """
    lost: dict[tuple[str, int], list[Int64[np.ndarray, " _"]]] = {}
    for group, units in kept:
        gone = np.setdiff1d(np.arange(group.units), units)
        for member in group.members:
            key = (member.tensor, member.axis)
            lost.setdefault(key, []).append(member.places[gone].ravel())
    return [
        Cut(tensor, axis, np.setdiff1d(np.arange(shapes[tensor][axis]), np.concatenate(places)))
        for (tensor, axis), places in lost.items()
    ]
