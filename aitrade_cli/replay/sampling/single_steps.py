"""Batches of single steps from memory: drawn, gathered and laid out with nothing in between."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from aitrade_cli.replay.batch import Batch, as_tensors, new_block
from aitrade_cli.replay.interfaces import Indices
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.sampling.drawing import Drawing
from aitrade_cli.replay.sampling.gathering import Wish
from aitrade_cli.replay.sampling.gathering_kernels import draw_steps, gather_steps
from aitrade_cli.replay.sampling.uniform import Uniform
from aitrade_cli.replay.schema import NEXT

AT_ONCE: Final = 8192  # random numbers: one draw in 32 of 256 rows waits for them
Room: TypeAlias = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


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
        self.shares, self.used = np.empty(0), 0
        sampler = drawing.sampler
        self.uniform = type(sampler) is Uniform  # not of a kind that overrides its draw

    def draw(self, count: int, gamma: float, device: str | None) -> Batch:
        """Raises:
        NothingToSample: no row can be drawn.
        """
        drawing, ring = self.drawing, self.ring
        room = self.room(count, device)
        if self.uniform:
            drawing.check_drawable()
            indices, chances = np.empty(count, np.int64), None
            wrong = draw_steps(
                *self.next_shares(count),
                indices,
                ring.words,
                ring.records,
                ring.total,
                ring.resident,
                gamma,
                *room,
            )
        else:
            indices, chances = drawing.first(count)
            wrong = self.gather(indices, gamma, room)
        if wrong:
            indices, chances = drawing.mended(indices, chances, Wish(gamma=gamma))
            if self.gather(indices, gamma, room):
                raise RuntimeError("rows were mended and still cannot be drawn")
        return self.batch(indices, drawing.weighed(chances), room, device)

    def next_shares(self, count: int) -> tuple[np.ndarray, int]:
        """Random numbers, many drawn at once for speed, and where the unused ones begin."""
        at = self.used
        if at + count > len(self.shares):
            self.shares, at = self.drawing.rng.random(max(AT_ONCE, count)), 0
        self.used = at + count
        return self.shares, at

    def room(self, count: int, device: str | None) -> Room:
        """A block for the records, and what the links say: terminated, truncated, discount."""
        block = new_block(self.halves * count, self.ring.schema.record_bytes, device)
        terminated, truncated = np.empty(count, np.bool_), np.empty(count, np.bool_)
        return block, terminated, truncated, np.empty(count, np.float32)

    def gather(self, indices: Indices, gamma: float, room: Room) -> int:
        """Fill the room from live rows; how many cannot be drawn, and then nothing is filled."""
        ring = self.ring
        return gather_steps(
            indices, ring.words, ring.records, ring.total, ring.resident, gamma, *room
        )

    def batch(
        self, indices: Indices, weights: np.ndarray | None, room: Room, device: str | None
    ) -> Batch:
        """Name what lies in the room; no byte is copied."""
        block, terminated, truncated, discount = room
        count, length = len(indices), self.ring.schema.record_bytes
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
