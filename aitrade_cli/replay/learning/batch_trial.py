"""What a variable batch gains over fixed ones, on a problem whose noise is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from aitrade_cli.replay.learning.batch_size import BatchSizer, Bounds
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.units import count_text, ratio_text

PARAMETERS: Final = 50
SHARDS: Final = 8
LEARNING_RATE: Final = 0.5
TARGET_LOSS: Final = 0.02
FIXED: Final = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
MOST_STEPS: Final = 400


@dataclass(frozen=True, slots=True)
class BatchRun:
    """One way to choose the batch, on one planted problem.

    Attributes:
        batch: the fixed one, or ``variable``.
        rows: spent until the loss was reached, median over the seeds; None where more
            than half of them did not reach it.
        steps: likewise.
    """

    batch: str
    rows: int | None
    steps: int | None


@dataclass(frozen=True, slots=True)
class BatchTrial:
    """Rows that each batch spends for the same loss at the same learning rate."""

    target_loss: float
    learning_rate: float
    seeds: int
    runs: tuple[BatchRun, ...]

    JSON_PROPERTIES = ("gain", "gained")

    @property
    def gain(self) -> float | None:
        """Rows of the best fixed batch over those of the variable one; above 1 it saves rows."""
        variable = next(run.rows for run in self.runs if run.batch == "variable")
        fixed = [run.rows for run in self.runs if run.batch != "variable" and run.rows]
        return min(fixed) / variable if variable and fixed else None

    @property
    def gained(self) -> bool:
        return self.gain is not None and self.gain > 1.0


def planted_trial(seeds: int = 5, noise: float = 1.0, fixed: Sequence[int] = FIXED) -> BatchTrial:
    """Descend a bowl of known curvature with gradients of known noise.

    The best fixed batch is found by trying them all, which nobody can do on a real problem.

    Args:
        seeds: problems; the median counts.
        noise: standard deviation of each component of a single row's gradient.
        fixed: batches to compare with.
    """
    bounds = Bounds(least=16, most=8192)
    runs = [median_run(str(rows), lambda rows=rows: rows, seeds, noise) for rows in fixed]
    variable = median_run("variable", lambda: BatchSizer(bounds), seeds, noise)
    return BatchTrial(TARGET_LOSS, LEARNING_RATE, seeds, (*runs, variable))


def median_run(
    name: str, make: Callable[[], BatchSizer | int], seeds: int, noise: float
) -> BatchRun:
    runs = [descend_bowl(make(), noise, seed) for seed in range(seeds)]
    reached = sorted(run for run in runs if run is not None)
    if 2 * len(reached) <= seeds:
        return BatchRun(name, None, None)
    rows, steps = reached[(seeds - 1) // 2]
    return BatchRun(name, rows, steps)


def descend_bowl(batch: BatchSizer | int, noise: float, seed: int) -> tuple[int, int] | None:
    """Rows and steps until the loss is reached; None where it is not."""
    rng = np.random.default_rng(seed)
    curvature = np.geomspace(1.0, 0.2, PARAMETERS)
    at = np.full(PARAMETERS, 2.0)
    spent, steps = 0, 0
    while float(curvature @ np.square(at)) / 2.0 > TARGET_LOSS:
        if steps == MOST_STEPS:
            return None
        rows = batch if isinstance(batch, int) else batch.rows
        shard_rows = rows // SHARDS
        errors = rng.standard_normal((SHARDS, PARAMETERS)) * noise / np.sqrt(shard_rows)
        gradients = curvature * at + errors
        at = at - LEARNING_RATE * gradients.mean(axis=0)
        spent, steps = spent + rows, steps + 1
        if isinstance(batch, BatchSizer):
            batch.saw_gradients(gradients, shard_rows)
            batch.choose()
    return spent, steps


@view.register
def _(report: BatchTrial) -> Sequence[Block]:
    rows = [(run.batch, count_text(run.rows), count_text(run.steps)) for run in report.runs]
    if report.gained:
        said = f"{ratio_text(report.gain)} fewer rows than the best fixed batch"
    else:
        said = "no gain over the best fixed batch"
    return (
        Verdict(said, report.gained),
        Table("Until the same loss", ("Batch", "Rows", "Steps"), rows),
        Notes(
            "Conditions",
            (
                f"loss {report.target_loss} on a planted quadratic, learning rate "
                f"{report.learning_rate}, median of {report.seeds} seeds; a dash where the "
                "batch never got there",
            ),
        ),
    )
