"""Gate 2: are the outputs the same, at every shape and on a market's worst day."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.fidelity.budget import Budget, Limit
from aitrade_cli.fidelity.cases import (
    Case,
    InputShape,
    Kind,
    cases,
    input_shape,
    noise_rows,
    real_windows,
)
from aitrade_cli.fidelity.gate import Gate, gate_with_limits
from aitrade_cli.fidelity.outputs import Runs, outputs_of
from aitrade_cli.model.card import Card

CaseStatus: TypeAlias = Literal["ran", "failed", "not_finite", "not_applicable", "original_fails"]

FAILURE_LENGTH: Final = 160  # characters of a runtime's complaint that are kept
BATCHED: Final = 32  # windows asked at once to see whether a batch changes the outputs


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one input did to both models.

    Attributes:
        name: the case in words.
        kind: ``real`` bars, ``synthetic`` noise, or an ``extreme`` made from them.
        batch: windows in the batch.
        length: rows in a window.
        status: ``ran`` both gave finite numbers wherever the original did; ``failed`` the
            changed model stopped where the original ran; ``not_finite`` it gave NaN or
            infinity where the original did not; ``original_fails`` the original stopped
            too; ``not_applicable`` the input has no such shape.
        max_abs: largest |difference| of an output both have finite; None if there is none.
        p99_abs: 99th percentile of the same.
        relative: ``max_abs`` over the spread of the original's outputs on real windows.
        not_finite: outputs that were finite before and are not after.
        reason: what a runtime said, or why the case does not apply.
    """

    name: str
    kind: Kind
    batch: int
    length: int
    status: CaseStatus
    max_abs: float | None = None
    p99_abs: float | None = None
    relative: float | None = None
    not_finite: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Parity:
    """All cases.

    Attributes:
        cases: in the order they were tried.
        output_spread: root mean square, over the outputs, of their standard deviation on
            real windows in the original; None where they never move.
        batch_effect: largest |difference| the changed model makes between the same windows
            asked one by one and together; dynamic INT8 scales over the batch. None where
            the batch axis is fixed.
    """

    cases: tuple[CaseResult, ...]
    output_spread: float | None
    batch_effect: float | None

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("worst", "shapes")

    @property
    def ran(self) -> tuple[CaseResult, ...]:
        """Cases that both models answered."""
        return tuple(case for case in self.cases if case.status in ("ran", "not_finite"))

    @property
    def broken(self) -> tuple[CaseResult, ...]:
        """Cases the changed model lost."""
        return tuple(case for case in self.cases if case.status in ("failed", "not_finite"))

    @property
    def shapes(self) -> int:
        """Different (batch, length) that both models answered."""
        return len({(case.batch, case.length) for case in self.ran})

    @property
    def worst(self) -> CaseResult | None:
        """A case the changed model lost, else the one with the largest difference."""
        if self.broken:
            return self.broken[0]
        return max(self.ran, key=lambda case: case.max_abs or 0.0, default=None)

    @property
    def real_max_abs(self) -> float | None:
        """Largest |difference| on windows that are no extremes."""
        found = [case.max_abs for case in self.ran if case.kind != "extreme"]
        return max((value for value in found if value is not None), default=None)


def try_parity(
    before: Runs,
    after: Runs,
    card: Card,
    rows: Float[np.ndarray, "rows feature"] | None,
    *,
    seed: int = 0,
) -> Parity:
    """Run both models on every case.

    Args:
        before: the original.
        after: the changed model.
        card: the original's; its inputs say which axes are free.
        rows: real, normalised rows in time order; None tries seeded noise instead.
        seed: of the noise.

    Raises:
        UnknownInput: the model does not take one window [batch, time, feature].
    """
    shape = input_shape(card)
    kind: Kind = "synthetic" if rows is None else "real"
    rows = noise_rows(shape, card, seed) if rows is None else rows
    spread = output_spread(before, shape, rows)
    results = tuple(
        try_case(case, before, after, spread) for case in cases(shape, card, rows, kind)
    )
    return Parity(results, spread, _batch_effect(after, shape, rows))


def try_case(case: Case, before: Runs, after: Runs, spread: float | None) -> CaseResult:
    """Ask both models one input; a model that stops is a finding, not an error."""
    if case.window is None:
        return _unlike(case, "not_applicable", case.not_applicable or "")
    first = _attempt(before, case.window)
    second = _attempt(after, case.window)
    if isinstance(first, str):
        return _unlike(case, "original_fails", first)
    if isinstance(second, str):
        return _unlike(case, "failed", second)
    return compare_outputs(case.name, case.kind, case.length, first, second, spread)


def compare_outputs(
    name: str,
    kind: Kind,
    length: int,
    before: Float32[np.ndarray, "batch _"],
    after: Float32[np.ndarray, "batch _"],
    spread: float | None,
) -> CaseResult:
    """Measure how far apart two answers to the same windows are.

    Args:
        name: of the case.
        kind: of its windows.
        length: rows in a window.
        before: the original's outputs; NaN and infinity are not compared.
        after: the changed model's.
        spread: of the original's outputs on real windows, > 0, or None.
    """
    batch = len(before)
    if before.shape != after.shape:
        reason = f"{after.shape[1]} outputs where the original gives {before.shape[1]}"
        return CaseResult(name, kind, batch, length, "failed", reason=reason)
    finite = np.isfinite(before)
    lost = int((finite & ~np.isfinite(after)).sum())
    both = finite & np.isfinite(after)
    apart = np.abs(after[both].astype(np.float64) - before[both])
    largest = float(apart.max()) if apart.size else None
    return CaseResult(
        name=name,
        kind=kind,
        batch=batch,
        length=length,
        status="not_finite" if lost else "ran",
        max_abs=largest,
        p99_abs=float(np.percentile(apart, 99)) if apart.size else None,
        relative=None if largest is None or spread is None else largest / spread,
        not_finite=lost,
        reason=f"{lost} of {before.size} outputs are not finite" if lost else "",
    )


def output_spread(
    before: Runs, shape: InputShape, rows: Float[np.ndarray, "rows feature"]
) -> float | None:
    """How much the original's outputs move from window to window.

    The yardstick of |difference|: root mean square, over the outputs, of their standard
    deviation on 32 windows. None where they do not move or are not finite.
    """
    windows = real_windows(rows, BATCHED, shape.window)
    answer = _attempt_all(before, windows, shape.batch or BATCHED)
    if isinstance(answer, str) or not np.isfinite(answer).all():
        return None
    return float(np.sqrt(answer.astype(np.float64).var(axis=0).mean())) or None


def parity_gate(parity: Parity, budget: Budget) -> Gate:
    """Missed where the changed model loses a shape or a finite number."""
    limits = []
    if budget.max_output_delta is not None:
        limits.append(
            Limit(
                "--max-output-delta",
                "largest output difference",
                budget.max_output_delta,
                parity.real_max_abs,
            )
        )
    if parity.broken:
        first, *others = parity.broken
        more = f", and {len(others)} more" if others else ""
        told = f"lost `{first.name}` ({first.reason}){more}"
        return Gate("parity", "missed", told, required=bool(limits))
    if not parity.ran:
        return Gate("parity", "not_run", "the original fails on every case", bool(limits))
    largest = parity.real_max_abs
    told = f"{len(parity.ran)} cases, {parity.shapes} shapes"
    if largest == 0:
        told += ", identical on usual bars"
    elif largest is not None:
        told += f", at most {largest:.2g} apart on usual bars"
    gate = gate_with_limits("parity", told, limits)
    return Gate("parity", "held", told) if gate.status == "informed" else gate


def _attempt(runtime: Runs, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray | str:
    return _attempt_all(runtime, window, len(window))


def _attempt_all(
    runtime: Runs, windows: Float32[np.ndarray, "n time feature"], batch_size: int
) -> np.ndarray | str:
    try:
        return outputs_of(runtime, windows, batch_size)
    except Exception as error:  # every engine has its own; each of them means: it stopped
        return complaint(error)


def complaint(error: Exception) -> str:
    """What a runtime said when it stopped, on one line of bounded length."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= FAILURE_LENGTH else words[: FAILURE_LENGTH - 1] + "…"


def _unlike(case: Case, status: CaseStatus, reason: str) -> CaseResult:
    return CaseResult(case.name, case.kind, case.batch, case.length, status, reason=reason)


def _batch_effect(
    after: Runs, shape: InputShape, rows: Float[np.ndarray, "rows feature"]
) -> float | None:
    if shape.batch is not None:
        return None
    windows = real_windows(rows, BATCHED, shape.window)
    together, alone = _attempt(after, windows), _attempt_all(after, windows, 1)
    if isinstance(together, str) or isinstance(alone, str):
        return None  # the cases have already told of it
    if not (np.isfinite(together).all() and np.isfinite(alone).all()):
        return None
    return float(np.abs(alone.astype(np.float64) - together).max())
