"""Lines of `check-all` as the tests need them."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from aitrade_cli.catalog import Claim, Row
from aitrade_cli.checks.result import Bound, Measured, Status
from aitrade_cli.checks.runner import CheckLine, ClaimShown

ROW: Final = Row("T0", "A promise", "inspect", "no.module:function", "aitrade inspect a.pt")
HELD: Final = CheckLine(
    id="T0",
    promise="A promise",
    command="inspect",
    status="held",
    reason=None,
    claim=ClaimShown(3.0, 0.75),
    measured=Measured(3.5, 3.3, 3.7, 0.74),
    bounds=(Bound("agreement", 0.999, 0.99, "at_least", "share"),),
    cases=(),
    conditions="cpu, one thread, batch 1, 200 runs",
    wall_seconds=12.5,
)


def line(status: Status = "held", **changes: object) -> CheckLine:
    """A line like the one that held, but for what is named."""
    return replace(HELD, status=status, **changes)  # type: ignore[arg-type]


def row(check: str = ROW.check, claim: Claim = ROW.claim) -> Row:
    return ROW._replace(check=check, claim=claim)
