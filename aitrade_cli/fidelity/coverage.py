"""Gate 1: how much of the model was really changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.gate import Gate
from aitrade_cli.units import share_text


class BadCoverage(BadInput):
    """More was changed than there is."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a pass says it changed, counted on the model that came out.

    Attributes:
        parameters_total: numbers the original stores as weights, > 0.
        parameters_changed: how many of them are stored another way now, or are gone.
        macs_total: multiply-accumulates of one window in the original; None if not counted.
        macs_changed: how many of them are computed another way now, or are gone.
        kept: the layers left as they were, each with its reason.
    """

    parameters_total: int
    parameters_changed: int
    macs_total: int | None = None
    macs_changed: int | None = None
    kept: tuple[str, ...] = ()

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("parameter_share", "mac_share")

    def __post_init__(self) -> None:
        if not 0 <= self.parameters_changed <= self.parameters_total:
            raise BadCoverage(
                f"`{self.parameters_changed}` of {self.parameters_total} parameters changed"
            )
        if self.macs_total is not None and not 0 <= (self.macs_changed or 0) <= self.macs_total:
            raise BadCoverage(f"`{self.macs_changed}` of {self.macs_total} MACs changed")

    @property
    def parameter_share(self) -> float:
        """Share of the parameters that changed, 0..1."""
        return self.parameters_changed / self.parameters_total if self.parameters_total else 0.0

    @property
    def mac_share(self) -> float | None:
        """Share of the multiply-accumulates that changed, 0..1; None if not counted."""
        if not self.macs_total or self.macs_changed is None:
            return None
        return self.macs_changed / self.macs_total


def coverage_gate(coverage: Coverage | None) -> Gate:
    """Missed where nothing changed at all: neither a parameter nor a MAC."""
    if coverage is None:
        return Gate("coverage", "not_run", "no pass said what it changed")
    macs = coverage.mac_share
    told = f"{share_text(coverage.parameter_share)} of the parameters"
    if macs is not None:
        told += f", {share_text(macs)} of the MACs"
    nothing = coverage.parameters_changed == 0 and not macs
    if nothing:
        return Gate("coverage", "missed", f"nothing was changed: {told}")
    return Gate("coverage", "held", f"changed {told}")
