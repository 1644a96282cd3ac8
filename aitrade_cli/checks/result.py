"""What a check hands back, and what follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from aitrade_cli.catalog import Claim

Number: TypeAlias = float | int  # JSON makes 1 of 1.0
Status = Literal["held", "below_claim", "unavailable", "failed"]


@dataclass(frozen=True, slots=True)
class Bound:
    """One measured number against one limit. The check does not decide whether it passed."""

    name: str
    measured: Number
    limit: Number
    sense: Literal["at_least", "at_most"]
    unit: str

    JSON_PROPERTIES = ("passed",)

    @property
    def passed(self) -> bool:
        if self.sense == "at_least":
            return self.measured >= self.limit
        return self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class Measured:
    """The gain found on this machine. `None` where the row has no such gain."""

    speedup: Number | None = None  # times, of the source's eager float32
    speedup_low: Number | None = None  # 95 % interval of that ratio
    speedup_high: Number | None = None
    memory_saved: Number | None = None  # share of bytes, 0..1; negative where it grew


@dataclass(frozen=True, slots=True)
class Case:
    """One model of a check: what each number of the row was averaged from."""

    name: str
    speedup: Number | None
    memory_saved: Number | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Everything one check measured.

    Attributes:
        measured: the gain, compared with the published claim.
        bounds: what must hold whatever the gain is: equivalence, exactness.
        cases: the single models behind the mean.
        conditions: device, threads, batch, runs; what the numbers are true of.
        goals: what the product aims at, on a machine that can give it. A goal that is missed is
            told as below claim; it never reads as held.
    """

    measured: Measured
    bounds: tuple[Bound, ...]
    conditions: str
    cases: tuple[Case, ...] = ()
    goals: tuple[Bound, ...] = ()


def status_of(result: CheckResult, claim: Claim) -> tuple[Status, str | None]:
    """Compare what was measured with the limits and the claim.

    Returns:
        The status, and the reason where it is not ``held``.
    """
    broken = [bound for bound in result.bounds if not bound.passed]
    if broken:
        return "failed", "; ".join(describe(bound) for bound in broken)
    missed = [describe(goal) for goal in result.goals if not goal.passed]
    short = [*shortfalls(result.measured, claim), *missed]
    return ("below_claim", "; ".join(short)) if short else ("held", None)


def describe(bound: Bound) -> str:
    sense = bound.sense.replace("_", " ")
    return f"{bound.name} is {bound.measured:.6g} {bound.unit}, wanted {sense} {bound.limit:.6g}"


def shortfalls(measured: Measured, claim: Claim) -> list[str]:
    short = []
    if claim.speedup is not None:
        if measured.speedup is None:
            short.append(f"speed was not measured, claimed {claim.speedup:.2f}x")
        elif measured.speedup < claim.speedup:
            short.append(f"speed {measured.speedup:.2f}x of {claim.speedup:.2f}x")
    if claim.memory_saved is not None:
        if measured.memory_saved is None:
            short.append(f"memory was not measured, claimed {claim.memory_saved:.0%}")
        elif measured.memory_saved < claim.memory_saved:
            short.append(f"memory {measured.memory_saved:.1%} of {claim.memory_saved:.0%}")
    return short
