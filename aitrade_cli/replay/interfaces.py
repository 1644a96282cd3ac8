"""What can be plugged into the store: a way to draw rows, and a way to pack them.

A row's *index* is its number since the store began: the first row ever added is 0, and no
number is given twice. It lies in slot ``index % capacity`` of the ring. A row is live while
``first <= index < total``; an index below ``first`` is stale, its slot holds another row now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, UInt8

Indices: TypeAlias = Int64[np.ndarray, " n"]
State: TypeAlias = Mapping[str, np.ndarray]
Value: TypeAlias = Any  # an array, a number, or a dict or tuple of such


@runtime_checkable
class LiveRows(Protocol):
    """What a sampler may know of the store. `ReplayStore` is one."""

    @property
    def capacity(self) -> int: ...  # slots of the ring

    @property
    def first(self) -> int: ...  # oldest live index

    @property
    def total(self) -> int: ...  # rows ever added, so one past the newest index

    def sampleable(self, indices: Indices) -> Bool[np.ndarray, " n"]:
        """False for stale rows and for those that only hold the last state of an episode."""
        ...

    def waiting(self, indices: Indices) -> Bool[np.ndarray, " n"]:
        """True for live rows that are no whole transitions yet, and may become such."""
        ...

    def column(self, name: str, indices: Indices) -> np.ndarray:
        """One field of some rows, copied: shape ``[n, *field.shape]``."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Decides which rows a batch holds. Told of every row that comes; knows what goes.

    The store redraws what is not sampleable, so a sampler may offer such rows now and then.
    One whose rows carry weights is `Weighing` too, or those of redrawn rows are of another
    measure than the rest.
    """

    @property
    def name(self) -> str: ...

    def bind(self, rows: LiveRows) -> None:
        """Called once, before anything else."""
        ...

    def added(self, first: int, count: int) -> None:
        """Rows ``first .. first + count - 1`` have come; as many of the oldest may have gone."""
        ...

    def draw(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float32[np.ndarray, " n"] | None]:
        """Live indices and their importance weights, ``None`` where all weigh 1."""
        ...

    def update(self, indices: Indices, priorities: np.ndarray) -> None:
        """New priorities for rows that were drawn; stale ones are ignored."""
        ...

    def state(self) -> State:
        """Arrays to be kept with the store."""
        ...

    def restore(self, state: State) -> None:
        """Take up ``state``; rows added since it was kept are told by ``added`` afterwards."""
        ...


@runtime_checkable
class Weighing(Protocol):
    """A sampler that weighs a batch once the store has settled which rows it holds.

    The store then asks for chances, and never calls ``draw``.
    """

    def draw_chances(
        self, rng: np.random.Generator, count: int
    ) -> tuple[Indices, Float64[np.ndarray, " n"]]:
        """What ``draw`` would offer, and what each row was drawn in proportion to."""
        ...

    def weigh(self, chances: Float64[np.ndarray, " n"]) -> Float32[np.ndarray, " n"]:
        """Importance weights of one batch; called once for each."""
        ...


@runtime_checkable
class Codec(Protocol):
    """Packs a block of records for the disk; what comes back is the same, byte for byte.

    A codec whose ``setup`` is not empty (a trained dictionary) has it kept in the
    store's manifest and handed back to ``codecs.codec_named(name, setup)``.
    """

    @property
    def name(self) -> str: ...

    @property
    def setup(self) -> bytes: ...

    def encode(self, block: UInt8[np.ndarray, "n record"]) -> bytes: ...

    def decode(self, data: bytes, count: int, record_bytes: int) -> UInt8[np.ndarray, "n record"]:
        """The records again.

        Raises:
            ValueError: the bytes are not what ``encode`` made.
        """
        ...


@runtime_checkable
class Selective(Protocol):
    """A codec that can unpack some rows of a block without all the others."""

    def decode_rows(
        self,
        data: bytes,
        rows: Int64[np.ndarray, " k"],
        out: UInt8[np.ndarray, "k record"],
    ) -> None: ...
