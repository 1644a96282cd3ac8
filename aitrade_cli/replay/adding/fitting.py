"""Make what arrives fit its field, or say why it does not."""

from __future__ import annotations

import numpy as np

from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.schema import Field, SchemaMismatch


def fitting(field: Field, value: Value, rows: tuple[int, ...] = ()) -> np.ndarray:
    """The value as an array of the field's dtype and shape, after ``rows`` where given.

    Raises:
        SchemaMismatch: the sizes differ, or the dtype cannot hold what the value's can.
    """
    array = as_array(field.name, value)
    shape = (*rows, *field.shape)
    if array.shape == shape and array.dtype == field.dtype:
        return array
    if array.shape != shape:
        if array.size != np.prod(shape, dtype=np.int64) or array.shape[: len(rows)] != rows:
            raise SchemaMismatch(
                f"`{field.name}` has the shape {array.shape}, the store wants {shape}"
            )
        array = array.reshape(shape)
    wanted = np.dtype(field.dtype)
    if array.dtype != wanted:
        if not holds(wanted, array):
            raise SchemaMismatch(
                f"`{field.name}` is {array.dtype.name}, the store keeps {field.dtype}"
            )
        try:
            with np.errstate(over="raise"):
                array = array.astype(wanted)
        except FloatingPointError as error:
            raise SchemaMismatch(
                f"a number of `{field.name}` is too large for {field.dtype}"
            ) from error
    return array


def as_array(name: str, value: Value) -> np.ndarray:
    """Numbers as NumPy holds them.

    Raises:
        SchemaMismatch: the value is something else.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise SchemaMismatch(f"`{name}` is no array: {error}") from error
    if array.dtype.kind not in "biuf":
        raise SchemaMismatch(f"`{name}` is not made of numbers that the store can keep")
    return array


def holds(wanted: np.dtype, array: np.ndarray) -> bool:
    """Whether a dtype can keep these values; a float may lose digits, an integer nothing."""
    if array.dtype.kind == wanted.kind == "f" or np.can_cast(array.dtype, wanted, "safe"):
        return True
    with np.errstate(invalid="ignore", over="ignore"):
        there = array.astype(wanted)
    return bool(np.array_equal(there, array))
