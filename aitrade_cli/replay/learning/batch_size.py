"""How many rows a batch should hold, from what the gradient or the TD errors say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from jaxtyping import Float

from aitrade_cli.errors import BadInput

Limit = Literal["least", "most", "memory", "pace"]
PACE: Final = 2.0  # times that a batch may grow or shrink from one choice to the next
TINY: Final = 1e-300


@dataclass(frozen=True, slots=True)
class GradientSample:
    """What the gradients of one batch, split in equal shards, say about noise.

    Attributes:
        variance: estimate of tr(Σ), the summed variance of a single row's gradient.
        square: estimate of |G|², the squared length of the true gradient. Both are unbiased,
            so either can come out below 0.
    """

    variance: float
    square: float


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where a batch may lie.

    Attributes:
        least: rows.
        most: rows.
        multiple: batches are a multiple of it.
        memory_bytes: that a batch may take; no limit without it.
        row_bytes: that each row takes, activations and gradients included.
        fixed_bytes: that a batch of any size takes.
    """

    least: int = 32
    most: int = 4096
    multiple: int = 8
    memory_bytes: int | None = None
    row_bytes: int = 0
    fixed_bytes: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.multiple <= self.least <= self.most:
            raise BadInput(
                f"a batch lies between `{self.least}` and `{self.most}` in steps of "
                f"`{self.multiple}`: that leaves none"
            )
        if self.in_memory < self.least:
            raise BadInput(
                f"`{self.memory_bytes}` bytes hold {self.in_memory} rows, the least is "
                f"`{self.least}`"
            )

    @property
    def in_memory(self) -> int:
        """Rows that fit the memory; ``most`` where nothing limits it."""
        if self.memory_bytes is None or self.row_bytes <= 0:
            return self.most
        return max(0, self.memory_bytes - self.fixed_bytes) // self.row_bytes


@dataclass(frozen=True, slots=True)
class BatchChoice:
    """The next batch and why.

    Attributes:
        rows: of it.
        wanted: rows that the measurement asks for; None before the first one.
        limit: what kept it from that.
    """

    rows: int
    wanted: float | None
    limit: Limit | None


def gradient_sample(
    shards: Float[np.ndarray, "shard parameter"], shard_rows: int
) -> GradientSample:
    r"""Estimate noise and length of the gradient from the mean gradients of equal shards.

    With shards of $b$ rows, $B$ rows in all:
    $|G|^2 = (B |G_B|^2 - b |G_b|^2) / (B - b)$ and
    $S = (|G_b|^2 - |G_B|^2) / (1/b - 1/B)$.

    Args:
        shards: two or more, the gradient of each averaged over its rows.
        shard_rows: b.

    Raises:
        BadInput: fewer than two shards, or a gradient is no number.

    Source:
        McCandlish et al. 2018, appendix A.1. https://arxiv.org/abs/1812.06162
    """
    if len(shards) < 2 or shard_rows < 1:
        raise BadInput(f"noise is measured between two shards or more, got `{len(shards)}`")
    wide = shards.astype(np.float64)
    if not np.isfinite(wide).all():
        raise BadInput("a gradient is not finite")
    small = float(np.square(wide).sum(axis=1).mean())
    big = float(np.square(wide.mean(axis=0)).sum())
    b, total = float(shard_rows), float(shard_rows * len(shards))
    return GradientSample(
        variance=(small - big) / (1.0 / b - 1.0 / total),
        square=(total * big - b * small) / (total - b),
    )


def rows_for_dispersion(td_errors: Float[np.ndarray, " n"], tolerance: float) -> float:
    """Rows after which the mean squared TD error is known to within ``tolerance`` of itself.

    Its standard error, ``std / sqrt(rows)``, is that share of the mean.

    Args:
        td_errors: of a batch, two or more.
        tolerance: above 0; 0.1 for a tenth.

    Raises:
        BadInput: too few errors, one is no number, or the tolerance is not above 0.
    """
    if len(td_errors) < 2 or not tolerance > 0.0:
        raise BadInput(
            f"dispersion needs two errors and a tolerance above 0, got `{len(td_errors)}` "
            f"and `{tolerance}`"
        )
    squares = np.square(td_errors.astype(np.float64))
    if not np.isfinite(squares).all():
        raise BadInput("a TD error is not finite")
    mean = float(squares.mean())
    return float(squares.var(ddof=1)) / max((tolerance * mean) ** 2, TINY) if mean else 1.0


class BatchSizer:
    """Chooses the next batch from what was measured on the last ones.

    The same measurements in the same order give the same batches: no clock, no chance.

    Args:
        bounds: of the batch.
        smoothing: share of the old average that is kept with every measurement.
        times: batch over the simple noise scale tr(Σ)/|G|²; 1 spends twice the fewest
            possible rows and twice the fewest possible steps.
        tolerance: of the mean squared TD error, where TD errors are what is measured.

    Source:
        McCandlish et al. 2018, section 2.2 and equation 2.12.
        https://arxiv.org/abs/1812.06162
    """

    def __init__(
        self,
        bounds: Bounds | None = None,
        *,
        smoothing: float = 0.9,
        times: float = 1.0,
        tolerance: float = 0.1,
    ) -> None:
        if not 0.0 <= smoothing < 1.0 or not times > 0.0 or not tolerance > 0.0:
            raise BadInput(
                f"smoothing lies in [0, 1), times and tolerance above 0; got `{smoothing}`, "
                f"`{times}`, `{tolerance}`"
            )
        self.bounds = bounds or Bounds()
        self.smoothing = smoothing
        self.times = times
        self.tolerance = tolerance
        self.rows = self.bounds.least
        self._averages: dict[str, float] = {}

    @property
    def noise_scale(self) -> float | None:
        """tr(Σ)/|G|² in rows; infinite where no gradient stands out of the noise."""
        if "square" not in self._averages:
            return None
        variance, square = self._averages["variance"], self._averages["square"]
        if variance <= 0.0:
            return 0.0
        return variance / square if square > TINY else math.inf

    def saw_gradients(self, shards: Float[np.ndarray, "shard parameter"], shard_rows: int) -> None:
        """Measure the gradient of a batch that was split in equal shards."""
        sample = gradient_sample(shards, shard_rows)
        self._average("variance", sample.variance)
        self._average("square", sample.square)

    def saw_td_errors(self, td_errors: Float[np.ndarray, " n"]) -> None:
        """Measure the TD errors of a batch; used where no gradients are."""
        self._average("dispersion", rows_for_dispersion(td_errors, self.tolerance))

    def choose(self) -> BatchChoice:
        """The next batch: what is wanted, within pace, bounds and memory."""
        wanted = self._wanted()
        if wanted is None:
            return BatchChoice(self.rows, None, None)
        limit: Limit | None = None
        target = wanted
        if not self.rows / PACE <= target <= self.rows * PACE:
            target, limit = (self.rows * PACE if target > self.rows else self.rows / PACE), "pace"
        if target > self.bounds.most:
            target, limit = float(self.bounds.most), "most"
        if target > self.bounds.in_memory:
            target, limit = float(self.bounds.in_memory), "memory"
        if target < self.bounds.least:
            target, limit = float(self.bounds.least), "least"
        multiple = self.bounds.multiple
        self.rows = max(int(target) // multiple * multiple, multiple)
        return BatchChoice(self.rows, wanted, limit)

    def state(self) -> Mapping[str, float]:
        """Plain numbers, for JSON."""
        return {"rows": float(self.rows), **self._averages}

    def restore(self, state: Mapping[str, float]) -> None:
        self._averages = {name: value for name, value in state.items() if name != "rows"}
        self.rows = int(state["rows"])

    def _wanted(self) -> float | None:
        scale = self.noise_scale
        return self._averages.get("dispersion") if scale is None else self.times * scale

    def _average(self, name: str, value: float) -> None:
        old = self._averages.get(name)
        kept = self.smoothing
        self._averages[name] = value if old is None else kept * old + (1.0 - kept) * value
