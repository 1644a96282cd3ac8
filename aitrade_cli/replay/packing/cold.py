"""Rows that are seldom drawn: chunks of zstd with a dictionary trained on the first of them."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64, UInt8

from aitrade_cli.replay.interfaces import Selective
from aitrade_cli.replay.packing.codecs import train, zstd_codec

SAMPLE_ROWS = 256  # that the dictionary is trained on


class ColdTier:
    """Blocks of rows by number, as small as zstd makes them; a row costs its chunk."""

    def __init__(self) -> None:
        self._codec = zstd_codec()
        self._trained = False
        self._blocks: dict[int, bytes] = {}

    @property
    def packed_bytes(self) -> int:
        return sum(map(len, self._blocks.values())) + len(self._codec.setup)

    def push(self, block: int, rows: UInt8[np.ndarray, "n record"]) -> None:
        """Keep a block of rows under its number."""
        if not self._trained:
            self._trained = True
            step = max(1, len(rows) // SAMPLE_ROWS)
            self._codec = zstd_codec(train(rows[::step]))
        self._blocks[block] = self._codec.encode(rows)

    def drop_before(self, block: int) -> None:
        """Let go of every block of a smaller number."""
        for number in [number for number in self._blocks if number < block]:
            del self._blocks[number]

    def unpack(
        self,
        block: int,
        rows: Int64[np.ndarray, " k"],
        out: UInt8[np.ndarray, "k record"],
    ) -> None:
        """Some rows of one block.

        Raises:
            KeyError: there is no such block.
            ValueError: a row is not in it.
        """
        codec = self._codec
        assert isinstance(codec, Selective)
        codec.decode_rows(self._blocks[block], rows, out)
