"""What an artefact says of itself beside its weights. Torch-free, so ONNX needs no torch.

A card answers: what goes in, what comes out, how raw bars became inputs, how outputs
become positions, on which bars that can be tried, and how the model came to be.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Float64

from aitrade_cli.errors import BadInput
from aitrade_cli.model.series import Series


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output. A string in ``shape`` names a free axis: ``batch``, ``time``."""

    name: str
    shape: tuple[int | str, ...]
    dtype: str = "float32"

    @property
    def free_axes(self) -> tuple[str, ...]:
        return tuple(axis for axis in self.shape if isinstance(axis, str))


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How raw bars become one window: ``clip((raw - mean) / std, -clip, clip)`` per feature."""

    features: tuple[str, ...]
    window: int  # rows the model looks back on, its own bar included
    mean: tuple[float, ...]
    std: tuple[float, ...]
    clip: float = 5.0  # in standard deviations


@dataclass(frozen=True, slots=True)
class Decision:
    """How outputs become a position in [-1, 1]: -1 short, 0 flat, 1 long.

    ``argmax``: the position of the largest output, ties to the first.
    ``threshold``: one output; above ``threshold`` long, below its negative short.
    """

    kind: Literal["argmax", "threshold"] = "argmax"
    positions: tuple[float, ...] = (-1.0, 0.0, 1.0)
    threshold: float = 0.0

    def positions_of(
        self, outputs: Float[np.ndarray, "batch out"]
    ) -> Float64[np.ndarray, " batch"]:
        """One position a row.

        Raises:
            BadInput: the number of outputs does not fit the rule.
        """
        self._check(outputs)
        if self.kind == "argmax":
            return np.asarray(self.positions, dtype=np.float64)[outputs.argmax(axis=1)]
        value = outputs[:, 0].astype(np.float64)
        return np.where(value > self.threshold, 1.0, np.where(value < -self.threshold, -1.0, 0.0))

    def margin_of(self, outputs: Float[np.ndarray, "batch out"]) -> Float64[np.ndarray, " batch"]:
        """How far each row is from another decision, in units of the outputs, >= 0."""
        self._check(outputs)
        if self.kind == "argmax":
            best = np.sort(outputs.astype(np.float64), axis=1)
            return best[:, -1] - best[:, -2]
        return np.abs(np.abs(outputs[:, 0].astype(np.float64)) - self.threshold)

    def _check(self, outputs: Float[np.ndarray, "batch out"]) -> None:
        wanted = len(self.positions) if self.kind == "argmax" else 1
        if outputs.shape[1] != wanted:
            raise BadInput(
                f"the decision rule wants {wanted} outputs, the model gives {outputs.shape[1]}"
            )


@dataclass(frozen=True, slots=True)
class Sample:
    """Real bars inside the artefact, so that every gate runs without a data file.

    Rows before ``calibration_rows`` may be learned from; rows from ``evaluation_row``
    on are only judged on. What lies between is the gap that keeps them apart.
    """

    series: Series
    calibration_rows: int
    evaluation_row: int
    symbol: str
    source_sha256: str

    @property
    def calibration(self) -> Series:
        return self.series.rows(0, self.calibration_rows)

    @property
    def evaluation(self) -> Series:
        return self.series.rows(self.evaluation_row, len(self.series))


@dataclass(frozen=True, slots=True)
class Arch:
    """Which network: a built-in name, or ``package.module:factory`` of the user's own."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def foreign(self) -> bool:
        """True where building it imports code that is not ours."""
        return ":" in self.name


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done to the model, and what was measured then."""

    command: str
    settings: dict[str, Any]
    measurements: dict[str, Any]
    versions: dict[str, str]
    parent_sha256: str | None  # of the file this step started from; None for the first


@dataclass(frozen=True, slots=True)
class RunsOn:
    """How the artefact wants to be run; where that is not possible it runs in another way.

    Attributes:
        runtime: one of `model.runtimes.RUNTIMES`.
        threads: of the runtime's pool, >= 1.
        precision: what the runtime multiplies in: ``float32`` or ``bfloat16``.
        instructions: of the processor that machine code inside was built for; empty for
            everything else.
    """

    runtime: str
    threads: int = 1
    precision: str = "float32"
    instructions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """Everything an artefact carries beside its weights. Absent parts are `None`."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    arch: Arch | None = None
    preprocessing: Preprocessing | None = None
    decision: Decision | None = None
    sample: Sample | None = None
    history: tuple[Step, ...] = ()
    trained_until_ns: int | None = None  # timestamp of the last bar that training saw
    runs_on: RunsOn | None = None

    def with_step(self, step: Step) -> Card:
        """The same card with one more line of history."""
        return replace(self, history=(*self.history, step))

    @property
    def window(self) -> int | None:
        """Rows of one window: from the preprocessing, else from a fixed time axis."""
        if self.preprocessing is not None:
            return self.preprocessing.window
        shape = self.inputs[0].shape if self.inputs else ()
        return shape[1] if len(shape) == 3 and isinstance(shape[1], int) else None
