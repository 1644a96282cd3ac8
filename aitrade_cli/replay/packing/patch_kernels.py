"""The loops of the patch codec. Whatever the bytes say, nothing is touched outside the arrays."""

from __future__ import annotations

import numpy as np

from aitrade_cli.system.compiled import kernel

HEADER_WORDS = 8
MAGIC, WORDS, COUNT, PAIRS, CODES, WIDE, LENGTH, ZERO = range(HEADER_WORDS)
MAGIC_VALUE = 0x3150464B  # "KFP1"


@kernel
def decode_patches(
    at32: np.ndarray,
    at16: np.ndarray,
    starts: np.ndarray,
    blocks: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
) -> int:
    """Write row ``rows[q]`` of the packed block ``blocks[q]`` to ``out[places[q]]``.

    ``at32`` and ``at16`` are two views of the same bytes, ``starts`` says in 32-bit words
    where a block begins. Returns -1, or the first q whose block is not what was packed.
    """
    words = out.shape[1]
    for q in range(len(rows)):
        head, to = starts[blocks[q]], places[q]
        pairs, total, wide = np.int64(0), np.int64(0), False
        lines, words_at, codes = head, head, head
        fits = head >= 0 and head + HEADER_WORDS <= len(at32) and at32[head] == MAGIC_VALUE
        if fits:
            count, wide = np.int64(at32[head + COUNT]), at32[head + WIDE] != 0
            pairs, total = np.int64(at32[head + PAIRS]), np.int64(at32[head + CODES])
            lines = head + HEADER_WORDS + words + pairs
            words_at = lines + count + 1
            codes = words_at + (pairs + 1) // 2
            end = codes + (total if wide else (total + 1) // 2)
            fits = at32[head + WORDS] == words and 0 <= rows[q] < count and end <= len(at32)
        if fits:
            key, values = head + HEADER_WORDS, head + HEADER_WORDS + words
            for k in range(words):
                out[to, k] = at32[key + k]
            begin, end = np.int64(at32[lines + rows[q]]), np.int64(at32[lines + rows[q] + 1])
            fits = begin <= end <= total
            for k in range(begin, end if fits else begin):
                code = np.int64(at32[codes + k]) if wide else np.int64(at16[2 * codes + k])
                place = np.int64(at16[2 * words_at + code]) if code < pairs else words
                fits = fits and place < words
                if place < words:
                    out[to, place] = at32[values + code]
        if not fits:
            return q
    return -1


@kernel
def differing_words(rows: np.ndarray, key: np.ndarray, found: np.ndarray, lines: np.ndarray) -> int:
    """List the words in which rows differ from the key row, as place and word in one number.

    Returns how many there are; ``found`` holds as many as fit it.
    """
    many = 0
    for q in range(len(rows)):
        lines[q] = many
        for k in range(len(key)):
            if rows[q, k] != key[k]:
                if many < len(found):
                    found[many] = (np.uint64(k) << np.uint64(32)) | np.uint64(rows[q, k])
                many += 1
    lines[len(rows)] = many
    return many
