"""Frames as one key frame and the words in which each of them differs from it.

The key frame holds, word by word, what most frames of the block hold, so a moving thing
costs only where it is and not where it was. Each pair of place and word is written once, and a
frame is a list of numbers of pairs. Any row is unpacked without any other.

Layout, little-endian, in 32-bit words: eight of header, the key row, the word of each
pair, where each row's list begins and the last one ends, the place of each pair in 16 bits,
the lists in 16 bits, or 32 where there are more than 65,536 pairs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from jaxtyping import Int64, UInt8, UInt32

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.packing.patch_kernels import (
    COUNT,
    HEADER_WORDS,
    LENGTH,
    MAGIC_VALUE,
    decode_patches,
    differing_words,
)

LOOKED_AT: Final = 63  # rows that vote on the key row; odd, so that a majority is their median
MOST_WORDS: Final = 65_536
NARROW: Final = 65_536  # pairs that a 16-bit number can name


class TooWide(BadInput):
    """A record is longer than a 16-bit place can point into."""

    default_hint = "use the codec `zstd` or `lz4`"


class Patch:
    """Key frame and patches, for frames in which little moves."""

    name = "patch"
    setup = b""

    def encode(self, block: UInt8[np.ndarray, "n record"]) -> bytes:
        """Pack some rows.

        Raises:
            TooWide: a record of more than 262,144 bytes.
        """
        rows = in_words(block)
        if rows.shape[1] > MOST_WORDS:
            raise TooWide(f"a record of {block.shape[1]:,} bytes is too long for patches")
        key = common_row(rows)
        lines = np.zeros(len(rows) + 1, dtype=np.uint32)
        found = np.empty(min(rows.size, 16 * len(rows) + rows.size // 8), dtype=np.uint64)
        many = differing_words(rows, key, found, lines)
        if many > len(found):
            found = np.empty(many, dtype=np.uint64)
            differing_words(rows, key, found, lines)
        pairs, codes = np.unique(found[:many], return_inverse=True)
        wide = len(pairs) > NARROW
        header = np.zeros(HEADER_WORDS, dtype=np.uint32)
        header[:6] = MAGIC_VALUE, rows.shape[1], len(rows), len(pairs), many, wide
        parts = [
            key,
            pairs.astype(np.uint32),
            lines,
            padded16(pairs >> np.uint64(32)),
            codes.astype(np.uint32) if wide else padded16(codes),
        ]
        header[LENGTH] = HEADER_WORDS + sum(len(part) for part in parts)
        return b"".join(part.tobytes() for part in (header, *parts))

    def decode(self, data: bytes, count: int, record_bytes: int) -> UInt8[np.ndarray, "n record"]:
        """The records again.

        Raises:
            ValueError: the bytes are not what ``encode`` made.
        """
        out = np.empty((count, record_bytes), dtype=np.uint8)
        if len(data) >= 4 * HEADER_WORDS and int(words_of(data)[COUNT]) != count:
            raise ValueError(f"packed were {int(words_of(data)[COUNT])} rows, wanted {count}")
        self.decode_rows(data, np.arange(count, dtype=np.int64), out)
        return out

    def decode_rows(
        self,
        data: bytes,
        rows: Int64[np.ndarray, " k"],
        out: UInt8[np.ndarray, "k record"],
    ) -> None:
        """Unpack some rows, in any order.

        Raises:
            ValueError: the bytes are not what ``encode`` made, or a row is not there.
        """
        view = words_of(data)
        start = np.zeros(1, dtype=np.int64)
        blocks = np.zeros(len(rows), dtype=np.int64)
        unpack(view, start, blocks, rows, np.arange(len(rows), dtype=np.int64), out)


def unpack(
    view: UInt32[np.ndarray, " word"],
    starts: Int64[np.ndarray, " block"],
    blocks: Int64[np.ndarray, " k"],
    rows: Int64[np.ndarray, " k"],
    places: Int64[np.ndarray, " k"],
    out: UInt8[np.ndarray, "n record"],
) -> None:
    """Unpack rows of many blocks that lie in one array.

    Args:
        view: the packed blocks, each from a multiple of four bytes on.
        starts: where each block begins, in words.
        blocks: which block each row is of.
        rows: which row of its block.
        places: in which row of ``out`` each comes to lie.
        out: where to; records of any length, fastest where it is a multiple of four.

    Raises:
        ValueError: a block is damaged, or a row is not there.
    """
    if len(places) and not 0 <= places.min() <= places.max() < len(out):
        raise ValueError(f"there is no place {int(places.max())} in a batch of {len(out)} rows")
    record = out.shape[1]
    direct = record % 4 == 0 and out.flags.c_contiguous and out.ctypes.data % 4 == 0
    words = -(-record // 4)
    target = out.view(np.uint32) if direct else np.empty((len(out), words), dtype=np.uint32)
    wrong = decode_patches(view, view.view(np.uint16), starts, blocks, rows, places, target)
    if wrong >= 0:
        raise ValueError(f"row {int(rows[wrong])} cannot be unpacked: its block is damaged")
    if not direct:
        out[places] = target.view(np.uint8)[places, :record]


def words_of(data: bytes) -> UInt32[np.ndarray, " word"]:
    if len(data) % 4:
        raise ValueError(f"{len(data)} bytes are no whole number of words")
    return np.frombuffer(data, dtype="<u4")


def in_words(block: UInt8[np.ndarray, "n record"]) -> UInt32[np.ndarray, "n word"]:
    """The rows as 32-bit words, zeros behind where the record does not fill the last."""
    lacking = -block.shape[1] % 4
    if lacking:
        block = np.pad(block, ((0, 0), (0, lacking)))
    return np.ascontiguousarray(block).view(np.uint32)


def common_row(rows: UInt32[np.ndarray, "n word"]) -> UInt32[np.ndarray, " word"]:
    """Of each word what more than half of the rows hold, else something between."""
    if not len(rows):
        return np.zeros(rows.shape[1], dtype=np.uint32)
    looked_at = np.linspace(0, len(rows) - 1, min(LOOKED_AT, len(rows))).astype(np.int64)
    some = rows[looked_at]
    middle = len(some) // 2
    some.partition(middle, axis=0)
    return some[middle].copy()


def padded16(values: np.ndarray) -> UInt32[np.ndarray, " word"]:
    """Numbers in 16 bits each, two to a word."""
    narrow = np.zeros(len(values) + len(values) % 2, dtype=np.uint16)
    narrow[: len(values)] = values
    return narrow.view(np.uint32)
