"""Which networks are tried: the source, pruned or looking back less far, or a smaller student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from aitrade_cli.units import share_text

Kind = Literal["dense", "recent", "pruned", "student"]

STUDENTS: Final = ("tcn", "mlp", "lstm", "gru")  # at equal size the fastest at batch 1 first
SIZES: Final = (0.25, 0.08)  # of the source's parameters
STEP: Final = 0.125  # proposals beyond the plan lie on this grid
MOST: Final = 0.875  # of units or of the window that may go


@dataclass(frozen=True, slots=True)
class Shape:
    """One network to try.

    Attributes:
        kind: ``dense`` is the source itself.
        share: of units removed where pruned, else 0.
        forgotten: share of the window that is not looked back on any more, the oldest steps.
        student: architecture of a student, else empty.
        size: its parameters as a share of the source's, else 1.
    """

    kind: Kind
    share: float = 0.0
    forgotten: float = 0.0
    student: str = ""
    size: float = 1.0

    @property
    def name(self) -> str:
        latest = f"latest {share_text(1 - self.forgotten, 0)} of the window"
        match self.kind:
            case "dense":
                return "as it is"
            case "recent":
                return latest
            case "pruned":
                cut = f"pruned {share_text(self.share, 0)}"
                return f"{cut}, {latest}" if self.forgotten else cut
            case "student":
                return f"{self.student} student, {share_text(self.size, 0)}"

    def steps(self, window: int) -> int | None:
        """Rows that it looks back on; None where it is all of them."""
        return max(1, round(window * (1 - self.forgotten))) if self.forgotten else None

    def as_params(self) -> dict[str, Any]:
        """What Optuna keeps; a parameter exists only where its kind has one."""
        match self.kind:
            case "dense":
                return {"kind": "dense"}
            case "recent":
                return {"kind": "recent", "forgotten": self.forgotten}
            case "pruned":
                return {"kind": "pruned", "share": self.share, "also_forgotten": self.forgotten}
            case "student":
                return {"kind": "student", "student": self.student, "size": self.size}

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Shape:
        """The inverse of `as_params`."""
        return cls(
            kind=params["kind"],
            share=params.get("share", 0.0),
            forgotten=params.get("forgotten", params.get("also_forgotten", 0.0)),
            student=params.get("student", ""),
            size=params.get("size", 1.0),
        )


DENSE: Final = Shape("dense")


def plan(kinds: Sequence[Kind], own: str, free: float = 0.0) -> tuple[Shape, ...]:
    """The first proposals, the same for every seed: what most often pays comes first.

    Args:
        kinds: that can be made of this source at all.
        own: its architecture; a student of the same kind is what pruning gives already.
        free: share of the window that can be forgotten without any training.
    """
    further, furthest = min(free + 2 * STEP, MOST), min(free + 3 * STEP, MOST)
    cuts = [
        Shape("recent", forgotten=free),
        Shape("pruned", 0.5, free),
        Shape("recent", forgotten=further),
        Shape("pruned", 0.25, free),
        Shape("pruned", 0.5, further),
        Shape("pruned", 0.625, further),
        Shape("recent", forgotten=furthest),
        Shape("pruned", 0.75, free),
        Shape("pruned", 0.5),
        Shape("pruned", 0.25),
    ]
    students = [
        Shape("student", student=name, size=size)
        for size in SIZES
        for name in STUDENTS
        if name != own
    ]
    both = "recent" in kinds
    cuts = [one for one in cuts if one.kind in kinds and (both or not one.forgotten)]
    cuts = [one for one in cuts if one.kind != "recent" or one.forgotten]
    if "student" not in kinds:
        students = []
    shapes = [DENSE]
    while cuts or students:  # two cuts to one student: neither road waits for the other's end
        shapes += [*cuts[:2], *students[:1]]
        cuts, students = cuts[2:], students[1:]
    return tuple(dict.fromkeys(shapes))
