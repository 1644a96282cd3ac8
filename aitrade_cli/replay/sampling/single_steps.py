"""Batches of single steps from memory: drawn, gathered and laid out with nothing in between."""

from __future__ import annotations

import numpy as np

from aitrade_cli.replay.batch import Batch, as_tensors, new_block
from aitrade_cli.replay.interfaces import Indices
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.drawing import Drawing
from aitrade_cli.replay.sampling.gathering import Wish
from aitrade_cli.replay.sampling.gathering_kernels import gather_steps
from aitrade_cli.replay.schema import NEXT


class SingleSteps:
    """Gathers what most learners ask for; everything that can be looked up once is.

    Args:
        ring: all of whose rows are in memory when it is asked.
        drawing: that chooses rows.
    """

    def __init__(self, ring: Ring, drawing: Drawing) -> None:
        schema = ring.schema
        self.ring = ring
        self.drawing = drawing
        self.halves = 1 if schema.stores_next else 2
        # name, dtype, shape of a row, its strides, its half of the block, its place in a record
        self.views = [
            (name, dtype, field.shape, strides_of(dtype, field.shape), half, offset)
            for half in range(self.halves)
            for field in (schema.state if half else schema.fields)
            for name in [NEXT + field.name if half else field.name]
            for dtype in [np.dtype(field.dtype)]
            for offset in [schema.offset(field.name)]
        ]

    def draw(self, count: int, gamma: float, device: str | None) -> Batch:
        """Raises:
        NothingToSample: no row can be drawn.
        """
        indices, weights = self.drawing.first(count)
        batch = self.gather(indices, weights, gamma, device)
        if batch is None:
            wish = Wish(gamma=gamma)
            indices, weights = self.drawing.mended(indices, weights, wish)
            batch = self.gather(indices, weights, gamma, device)
        if batch is None:
            raise RuntimeError("rows were mended and still cannot be drawn")
        return batch

    def gather(
        self, indices: Indices, weights: np.ndarray | None, gamma: float, device: str | None
    ) -> Batch | None:
        """The batch of live rows; None where one of them cannot be drawn."""
        ring, count = self.ring, len(indices)
        length = ring.schema.record_bytes
        block = new_block(self.halves * count, length, device)
        terminated, truncated = np.empty(count, np.bool_), np.empty(count, np.bool_)
        discount = np.empty(count, np.float32)
        wrong = gather_steps(
            indices,
            ring.words,
            ring.records,
            ring.total,
            ring.resident,
            gamma,
            block,
            terminated,
            truncated,
            discount,
        )
        if wrong:
            return None
        made = {
            name: np.ndarray(
                (count, *shape), dtype, block, half * count * length + offset, (length, *strides)
            )
            for name, dtype, shape, strides, half, offset in self.views
        }
        made["terminated"], made["truncated"], made["discount"] = terminated, truncated, discount
        return Batch(made if device is None else as_tensors(made, device), indices, weights)


def strides_of(dtype: np.dtype, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Of a value whose numbers lie side by side."""
    return np.empty(shape, dtype).strides
