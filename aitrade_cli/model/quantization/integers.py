"""Float arrays as small integers and a scale for each row or block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int8, UInt8

INT8_TOP = 127
REDUCED_TOP = 63  # two products of 7 bit x 8 bit fit into 16 bits, two of 8 x 8 may not
INT4_SHRINKS = (0.95, 0.9, 0.85, 0.8, 1.05, 1.1, 8 / 7)


@dataclass(frozen=True, slots=True)
class Quantized:
    """``value ≈ integers * scale``; the scale broadcasts over ``integers``."""

    integers: Int8[np.ndarray, "*shape"]
    scale: Float32[np.ndarray, "*scales"]


def to_int8(
    value: Float32[np.ndarray, "*shape"], axis: int | tuple[int, ...] | None, top: int = INT8_TOP
) -> Quantized:
    r"""Round to the nearest of $2\,\mathrm{top}+1$ levels, symmetric around zero.

    Args:
        value: weights, finite.
        axis: the axes that share a scale; None for one scale in all.
        top: the largest integer, 127 or 63.

    Returns:
        Integers in [-top, top] and the scale, $\max|w| / \mathrm{top}$, with the shared axes
        kept as 1. Rows of zeros get the scale 1.
    """
    highest = np.abs(value).max(axis=axis, keepdims=True).astype(np.float32)
    scale = np.where(highest > 0, highest / np.float32(top), np.float32(1)).astype(np.float32)
    integers = np.clip(np.rint(value / scale), -top, top).astype(np.int8)
    return Quantized(integers, scale)


def to_int4(rows: Float32[np.ndarray, "rows columns"], block: int) -> Quantized:
    """Round each block of a row to 16 levels, with the scale of least squared error.

    Of a few scales the best is kept: a block's largest weight is worth clipping a little when
    all others gain by it.

    Args:
        rows: weights; a last block that is not full is filled with zeros.
        block: numbers that share a scale, even.

    Returns:
        Integers in [-8, 7], ``[rows, blocks, block]``, and scales ``[rows, blocks, 1]``.
    """
    count, width = rows.shape
    filled = np.zeros((count, -(-width // block) * block), dtype=np.float32)
    filled[:, :width] = rows
    blocks = filled.reshape(count, -1, block)
    # The value of largest magnitude takes -8, the level that only one sign has.
    order = np.abs(blocks).argmax(axis=2, keepdims=True)
    extreme = np.take_along_axis(blocks, order, axis=2)[..., 0]
    start = np.where(extreme == 0, 1, extreme / -8).astype(np.float32)
    best, error = start, squared_error(blocks, start)
    for shrink in INT4_SHRINKS:
        scale = start * np.float32(shrink)
        tried = squared_error(blocks, scale)
        best = np.where(tried < error, scale, best)
        error = np.minimum(tried, error)
    return Quantized(levels(blocks, best), best[..., None])


def levels(
    blocks: Float32[np.ndarray, "rows blocks block"], scale: Float32[np.ndarray, "rows blocks"]
) -> Int8[np.ndarray, "rows blocks block"]:
    return np.clip(np.rint(blocks / scale[..., None]), -8, 7).astype(np.int8)


def squared_error(
    blocks: Float32[np.ndarray, "rows blocks block"], scale: Float32[np.ndarray, "rows blocks"]
) -> Float32[np.ndarray, "rows blocks"]:
    return np.square(levels(blocks, scale) * scale[..., None] - blocks).sum(axis=2)


def neighbours_in_bytes(nibbles: Int8[np.ndarray, "... block"]) -> UInt8[np.ndarray, "... half"]:
    """Two levels a byte, 8 added to each: the first in the low half, its neighbour in the high."""
    raised = (nibbles + 8).astype(np.uint8)
    return raised[..., 0::2] | (raised[..., 1::2] << 4)


def halves_in_bytes(nibbles: Int8[np.ndarray, "... block"]) -> UInt8[np.ndarray, "... half"]:
    """The same with a block's first half in the low bits and its second half in the high ones."""
    raised = (nibbles + 8).astype(np.uint8)
    half = raised.shape[-1] // 2
    return raised[..., :half] | (raised[..., half:] << 4)
