"""One question put to a changed model, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeAlias

from aitrade_cli.fidelity.budget import Limit

GateName: TypeAlias = Literal["coverage", "parity", "decisions", "backtest", "gain"]
Status: TypeAlias = Literal["held", "missed", "informed", "not_run", "void"]


@dataclass(frozen=True, slots=True)
class Gate:
    """What one gate found.

    Attributes:
        name: which gate.
        status: ``held`` it ran and the answer is yes; ``missed`` it ran and the answer is
            no; ``informed`` it ran and nobody set a budget; ``not_run`` it lacked something;
            ``void`` it ran, but its figure proves nothing.
        reason: one clause that says why, with the numbers.
        detail: what else was found, where a missed budget is the reason.
        required: the user set a budget for it, so an answer is owed: ``not_run`` and
            ``void`` then count as no.
    """

    name: GateName
    status: Status
    reason: str
    required: bool = False
    detail: str = ""

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("fails",)

    @property
    def fails(self) -> bool:
        """True where this gate turns the exit code to 1."""
        return self.status == "missed" or (self.required and self.status in ("not_run", "void"))


def gate_with_limits(name: GateName, reason: str, limits: Sequence[Limit]) -> Gate:
    """The gate of a figure that has budgets, or none.

    Without limits it informs. With limits it is held where each of them is; the
    limits that are missed, or cannot be measured, become the reason.
    """
    if not limits:
        return Gate(name, "informed", reason)
    missed = [limit for limit in limits if not limit.held]
    if missed:
        told = "; ".join(limit.text for limit in missed)
        return Gate(name, "missed", told, required=True, detail=reason)
    return Gate(name, "held", reason, required=True)
