"""Numbers in byte planes: a float's sign goes last, and bytes of equal weight lie together.

The exponents of weights are alike and compress to a third; their mantissas are noise and are left
alone. Compiled, because NumPy takes ten times as long, and the writer shares a core with training.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped, UInt8

from aitrade_cli.system.compiled import kernel

Numbers = Shaped[np.ndarray, " n"]  # unsigned integers of 1, 2, 4 or 8 bytes
Planes = UInt8[np.ndarray, "width n"]  # the highest bytes in the first row


def split(numbers: Numbers, *, rotate: bool, out: Planes) -> None:
    """Lay byte ``k`` of every number, counted from the highest, into row ``k`` of ``out``.

    Args:
        numbers: floats are viewed as unsigned integers of their width.
        rotate: move the highest bit, the sign of a float, to the lowest place first.
        out: as many rows as a number has bytes.
    """
    match numbers.itemsize:
        case 1:
            out[0] = numbers
        case 2:
            split_2(numbers, rotate, out)
        case 4:
            split_4(numbers, rotate, out)
        case _:
            split_8(numbers, rotate, out)


def join(planes: Planes, *, rotate: bool, out: Numbers) -> None:
    """Put together in ``out`` what ``split`` took apart."""
    match out.itemsize:
        case 1:
            out[:] = planes[0]
        case 2:
            join_2(planes, rotate, out)
        case 4:
            join_4(planes, rotate, out)
        case _:
            join_8(planes, rotate, out)


@kernel
def split_2(numbers: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for at in range(numbers.size):
        value = np.uint32(numbers[at])
        if rotate:
            value = (value << np.uint32(1)) | (value >> np.uint32(15))
        out[0, at] = np.uint8(value >> np.uint32(8))
        out[1, at] = np.uint8(value)


@kernel
def split_4(numbers: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for at in range(numbers.size):
        value = np.uint32(numbers[at])
        if rotate:
            value = (value << np.uint32(1)) | (value >> np.uint32(31))
        out[0, at] = np.uint8(value >> np.uint32(24))
        out[1, at] = np.uint8(value >> np.uint32(16))
        out[2, at] = np.uint8(value >> np.uint32(8))
        out[3, at] = np.uint8(value)


@kernel
def split_8(numbers: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for row in range(8):
        shift = np.uint64(56 - 8 * row)
        for at in range(numbers.size):
            value = np.uint64(numbers[at])
            if rotate:
                value = (value << np.uint64(1)) | (value >> np.uint64(63))
            out[row, at] = np.uint8(value >> shift)


@kernel
def join_2(planes: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for at in range(out.size):
        value = (np.uint32(planes[0, at]) << np.uint32(8)) | np.uint32(planes[1, at])
        if rotate:
            value = (value >> np.uint32(1)) | (value << np.uint32(15))
        out[at] = np.uint16(value)


@kernel
def join_4(planes: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for at in range(out.size):
        value = np.uint32(planes[0, at]) << np.uint32(24)
        value |= np.uint32(planes[1, at]) << np.uint32(16)
        value |= np.uint32(planes[2, at]) << np.uint32(8)
        value |= np.uint32(planes[3, at])
        if rotate:
            value = (value >> np.uint32(1)) | (value << np.uint32(31))
        out[at] = value


@kernel
def join_8(planes: np.ndarray, rotate: bool, out: np.ndarray) -> None:
    for at in range(out.size):
        value = np.uint64(0)
        for row in range(8):
            value = (value << np.uint64(8)) | np.uint64(planes[row, at])
        if rotate:
            value = (value >> np.uint64(1)) | (value << np.uint64(63))
        out[at] = value
