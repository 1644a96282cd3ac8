"""Make what arrives fit its field, or say why it does not."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import flatten
from aitrade_cli.replay.schema import Field, SchemaMismatch


def fitting(field: Field, value: Value, rows: tuple[int, ...] = ()) -> np.ndarray:
    """The value as an array of the field's dtype and shape, after ``rows`` where given.

    Raises:
        SchemaMismatch: the sizes differ, or the dtype cannot hold what the value's can.
    """
    array = np.asarray(value)
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
        array = array.astype(wanted)
    return array


def holds(wanted: np.dtype, array: np.ndarray) -> bool:
    """Whether a dtype can keep these values; a float may lose digits, an integer nothing."""
    if np.can_cast(array.dtype, wanted, "same_kind") and array.dtype.kind == wanted.kind == "f":
        return True
    if np.can_cast(array.dtype, wanted, "safe"):
        return True
    with np.errstate(invalid="ignore"):
        there = array.astype(wanted)
    return array.dtype.kind in "biuf" and bool(np.array_equal(there, array))


def state_names(fields: Mapping[str, Value], prefix: str) -> dict[str, Value]:
    """The flattened fields of a nested value that was given under ``prefix``."""
    flat = flatten({prefix: fields[prefix]}) if prefix in fields else {}
    dotted = {key: value for key, value in fields.items() if key.startswith(f"{prefix}.")}
    return {**flat, **dotted}
