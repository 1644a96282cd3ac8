"""Packed blocks side by side in one array, first in, first out."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Int64, UInt8

from aitrade_cli.replay.packing.patch import unpack

GROWTH = 1.25


class Arena:
    """Blocks of the patch codec in one array, so that one call unpacks rows of them all.

    Args:
        slots: blocks that are there at most; block b has the slot ``b % slots``, so the
            numbers of all that are there span fewer.
    """

    def __init__(self, slots: int) -> None:
        self._words = np.zeros(0, dtype=np.uint32)
        self._starts = np.full(slots, -1, dtype=np.int64)
        self._blocks: deque[tuple[int, int, int]] = deque()  # number, start, words

    @property
    def bytes(self) -> int:
        """What the array takes, room to grow included."""
        return self._words.nbytes + self._starts.nbytes

    @property
    def packed_bytes(self) -> int:
        return 4 * sum(length for _, _, length in self._blocks)

    def push(self, block: int, data: bytes) -> None:
        """Keep a block; its number is larger than those before."""
        words = np.frombuffer(data, dtype="<u4")
        start = self._room(len(words))
        self._words[start : start + len(words)] = words
        self._starts[block % len(self._starts)] = start
        self._blocks.append((block, start, len(words)))

    def drop_before(self, block: int) -> None:
        """Let go of every block of a smaller number."""
        while self._blocks and self._blocks[0][0] < block:
            self._starts[self._blocks.popleft()[0] % len(self._starts)] = -1

    def unpack(
        self,
        blocks: Int64[np.ndarray, " k"],
        rows: Int64[np.ndarray, " k"],
        places: Int64[np.ndarray, " k"],
        out: UInt8[np.ndarray, "n record"],
    ) -> None:
        """Rows of blocks that are all here, each to its place in ``out``.

        Raises:
            ValueError: one is not.
        """
        unpack(self._words, self._starts, blocks % len(self._starts), rows, places, out)

    def _room(self, length: int) -> int:
        """Where so many words fit; the array grows where they do not."""
        if self._blocks:
            first, (_, last, taken) = self._blocks[0][1], self._blocks[-1]
            end = last + taken
            if last >= first:
                if end + length <= len(self._words):
                    return end
                if length <= first:
                    return 0
            elif end + length <= first:
                return end
        elif length <= len(self._words):
            return 0
        return self._grow(length)

    def _grow(self, length: int) -> int:
        used = sum(taken for _, _, taken in self._blocks)
        grown = np.zeros(int(GROWTH * (used + length)) + 1, dtype=np.uint32)
        moved: deque[tuple[int, int, int]] = deque()
        at = 0
        for number, start, taken in self._blocks:
            grown[at : at + taken] = self._words[start : start + taken]
            self._starts[number % len(self._starts)] = at
            moved.append((number, at, taken))
            at += taken
        self._words, self._blocks = grown, moved
        return at
