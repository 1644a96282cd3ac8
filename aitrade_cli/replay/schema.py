"""What one row of the store holds: named fields at fixed places in one record.

A record is ``Schema.record_bytes`` long. Each field lies at a multiple of its own item size
and the record's length is a multiple of eight, so a field of many records is a strided
view that NumPy and torch take without a copy. The last four bytes are the record's own
checksum, written when the row goes to disk.

Names mean something. ``obs`` or ``obs.<part>`` is the state: ``next_obs`` is not stored but
rebuilt from the row that follows, unless the schema names it. ``reward`` is summed by n-step
returns. ``policy_version`` and ``log_prob`` are what the policy-lag samplers read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from aitrade_cli.errors import BadInput, Usage

STATE: Final = "obs"
NEXT: Final = "next_"
CHECKSUM_BYTES: Final = 4
ROW_ALIGNMENT: Final = 8
DTYPES: Final = frozenset(
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
) | {"float16", "float32", "float64", "bool"}
NAME: Final = re.compile(r"[a-z_][a-z0-9_]*(\.[A-Za-z0-9_]+)*")
ADDED_BY_THE_STORE: Final = frozenset(("terminated", "truncated", "discount", "indices", "weights"))


class BadSchema(BadInput):
    """Fields that no record can hold."""

    default_hint = "a field is NAME, SHAPE and dtype, for example `--obs 84x84:uint8`"


class SchemaMismatch(BadInput):
    """What arrived does not have the fields, shapes or dtypes of the store."""

    default_hint = "`aitrade replay info STORE` shows the fields that it wants"


@dataclass(frozen=True, slots=True)
class Field:
    """One named part of a record.

    Attributes:
        name: lower case; parts of a nested observation are joined by dots.
        dtype: NumPy's name of it, little-endian, for example ``float32``.
        shape: of one row's value; ``()`` for a plain number.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name) or self.name in ADDED_BY_THE_STORE:
            raise BadSchema(f"`{self.name}` cannot name a field")
        if self.dtype not in DTYPES:
            raise BadSchema(f"`{self.dtype}` is no dtype that a field can have")
        if any(size < 1 for size in self.shape):
            raise BadSchema(f"`{self.name}` has the shape {self.shape}: every size is at least 1")

    @property
    def bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    @property
    def is_state(self) -> bool:
        return self.name == STATE or self.name.startswith(f"{STATE}.")

    def __str__(self) -> str:
        return f"{'x'.join(map(str, self.shape))}:{self.dtype}"


@dataclass(frozen=True)
class Schema:
    """The fields of a record, in the order in which they lie."""

    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        if len(set(names)) < len(names):
            raise BadSchema(f"a field is named twice in {', '.join(names)}")
        if not any(field.is_state for field in self.fields):
            raise BadSchema("there is no `obs` among the fields")

    @classmethod
    def of(cls, example: Mapping[str, Any]) -> Schema:
        """The schema of one transition, given as it would be given to ``add``.

        ``next_obs``, ``terminated`` and ``truncated`` are left out: the store rebuilds them.
        """
        from aitrade_cli.replay.nested import flatten

        fields = []
        for name, value in flatten(example).items():
            if name in ADDED_BY_THE_STORE or name.startswith(NEXT + STATE):
                continue
            array = np.asarray(value)
            dtype = "float32" if isinstance(value, float) else array.dtype.name
            fields.append(Field(name, dtype, array.shape))
        return cls(tuple(fields))

    @cached_property
    def record(self) -> np.dtype[np.void]:
        """The record as a structured dtype, checksum and padding included."""
        offsets, end = [], 0
        for field in self.fields:
            size = np.dtype(field.dtype).itemsize
            end = -(-end // size) * size
            offsets.append(end)
            end += field.bytes
        length = -(-(end + CHECKSUM_BYTES) // ROW_ALIGNMENT) * ROW_ALIGNMENT
        return np.dtype(
            {
                "names": [field.name for field in self.fields],
                "formats": [(field.dtype, field.shape) for field in self.fields],
                "offsets": offsets,
                "itemsize": length,
            }
        )

    @property
    def record_bytes(self) -> int:
        return self.record.itemsize

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(field.name for field in self.fields)

    @cached_property
    def state(self) -> tuple[Field, ...]:
        """The fields that make up the observation."""
        return tuple(field for field in self.fields if field.is_state)

    @cached_property
    def stores_next(self) -> bool:
        """Whether each row holds its own ``next_obs``, as some recorded data must."""
        return any(field.name.startswith(NEXT + STATE) for field in self.fields)

    def offset(self, name: str) -> int:
        """Where a field begins in the record, in bytes."""
        return next(entry[1] for key, entry in (self.record.fields or {}).items() if key == name)

    def __getitem__(self, name: str) -> Field:
        return self.fields[self.names.index(name)]

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def to_json(self) -> list[dict[str, Any]]:
        return [
            {"name": field.name, "dtype": field.dtype, "shape": list(field.shape)}
            for field in self.fields
        ]

    @classmethod
    def from_json(cls, rows: Sequence[Mapping[str, Any]]) -> Schema:
        """Read what ``to_json`` wrote.

        Raises:
            BadSchema: the rows are something else.
        """
        try:
            return cls(
                tuple(
                    Field(str(row["name"]), str(row["dtype"]), tuple(map(int, row["shape"])))
                    for row in rows
                )
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadSchema(
                f"`{json.dumps(rows, default=str)[:80]}` is no list of fields"
            ) from error


def parse_field(name: str, text: str) -> Field:
    """``84x84:uint8`` -> a field; ``:float32`` is a plain number, `64` alone is float32.

    Raises:
        Usage: the text is something else.
    """
    shape, _, dtype = text.partition(":")
    try:
        sizes = tuple(int(size) for size in shape.split("x")) if shape else ()
        return Field(name, dtype or "float32", sizes)
    except (ValueError, BadSchema) as error:
        raise Usage(
            f"`{text}` is no SHAPE:dtype", hint="for example `64:float32` or `84x84x3:uint8`"
        ) from error
