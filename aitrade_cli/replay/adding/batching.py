"""Many transitions at once: checked against the schema, compared with what came before."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from aitrade_cli.replay.adding.fitting import as_array, fitting
from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import flatten
from aitrade_cli.replay.ring import Ring, beside, write_field
from aitrade_cli.replay.schema import NEXT, STATE, Schema, SchemaMismatch

Numbers: TypeAlias = Int64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """n transitions as arrays that fit their fields."""

    stored: dict[str, np.ndarray]  # every field of the schema
    next_state: tuple[np.ndarray, ...] | None  # in the order of ``schema.state``
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.terminated)


def incoming(schema: Schema, fields: Mapping[str, Value]) -> Incoming:
    """Check what was given against the schema.

    Raises:
        SchemaMismatch: a field is missing, unknown, of another shape or another length.
    """
    flat = flatten(fields)
    marks = {name: flat.pop(name, None) for name in ("terminated", "truncated")}
    first = flat.get(schema.state[0].name)
    if first is None:
        raise SchemaMismatch(f"`{schema.state[0].name}` was not given")
    rows = (count_of(schema.state[0].name, first),)
    stored = {
        field.name: fitting(field, flat.pop(field.name), rows)
        for field in schema.fields
        if field.name in flat
    }
    missing = [name for name in schema.names if name not in stored]
    following = {key: flat.pop(key) for key in list(flat) if key.startswith(NEXT + STATE)}
    if missing or flat:
        said = (
            f"`{', '.join(missing)}` was not given" if missing else f"no field `{next(iter(flat))}`"
        )
        raise SchemaMismatch(f"{said}; the store has `{', '.join(schema.names)}`")
    return Incoming(
        stored,
        next_states(schema, following, rows),
        mark(marks["terminated"], rows),
        mark(marks["truncated"], rows),
    )


def count_of(name: str, value: Value) -> int:
    """Raises:
    SchemaMismatch: there are no rows to count.
    """
    try:
        return len(value)
    except TypeError as error:
        raise SchemaMismatch(f"`{name}` is no array of rows") from error


def next_states(
    schema: Schema, given: Mapping[str, Value], rows: tuple[int, ...]
) -> tuple[np.ndarray, ...] | None:
    if not given:
        return None
    wanted = [NEXT + field.name for field in schema.state]
    if given.keys() != set(wanted):
        raise SchemaMismatch(f"`next_obs` has `{', '.join(given)}`, wanted `{', '.join(wanted)}`")
    return tuple(fitting(field, given[NEXT + field.name], rows) for field in schema.state)


def final_states(schema: Schema, final_obs: Value, count: int) -> tuple[np.ndarray, ...]:
    """The last states of n environments.

    Raises:
        SchemaMismatch: they do not fit.
    """
    flat = flatten({STATE: final_obs})
    named = {NEXT + name: value for name, value in flat.items()}
    made = next_states(schema, named, (count,))
    if made is None:
        raise SchemaMismatch("`final_obs` is empty")
    return made


def mark(value: Value, rows: tuple[int, ...]) -> Bool[np.ndarray, " n"]:
    if value is None:
        return np.zeros(rows, np.bool_)
    array = as_array("terminated or truncated", value)
    if array.dtype == np.bool_ and array.shape == rows:
        return array
    if array.size != rows[0]:
        raise SchemaMismatch(f"{array.size} end marks for {rows[0]} rows")
    return array.reshape(rows).astype(np.bool_)


def as_bytes(array: np.ndarray) -> UInt8[np.ndarray, "n bytes"]:
    flat = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
    return flat.view(np.uint8)


def same_memory(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether both are the same bytes, as `states[:-1][1:]` and `states[1:][:-1]` are."""
    places = one.__array_interface__["data"], other.__array_interface__["data"]
    return places[0] == places[1] and one.strides == other.strides


def differing(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> Bool[np.ndarray, " n"]:
    """Rows in which any part differs in any bit."""
    count = len(one[0])
    found = np.zeros(count, np.bool_)
    for a, b in zip(one, other, strict=True):
        if same_memory(a, b):
            continue
        left, right = as_bytes(a), as_bytes(b)
        if left.shape[1] % 8 == 0:
            left, right = left.view(np.uint64), right.view(np.uint64)
        unlike = left != right
        if unlike.any():
            found |= unlike.any(axis=1)
    return found


def continues(
    ring: Ring, state: Sequence[np.ndarray], envs: Sequence[int]
) -> Bool[np.ndarray, " n"]:
    """Whether each state is the one that its environment's newest transition led to."""
    last = np.array([ring.last[env] for env in envs])
    known = np.array([ring.awaited[env] for env in envs])
    if not known.any():
        return last >= 0
    spare = ring.resident + 1 + np.asarray(envs)
    kept = [ring.views[field.name][spare] for field in ring.schema.state]
    return (last >= 0) & ~(known & differing(state, kept))


def write(ring: Ring, stored: Mapping[str, np.ndarray], places: Numbers) -> None:
    """Copy fields to record rows."""
    where = beside(places)
    for field in ring.schema.fields:
        write_field(ring, field, where, stored[field.name])


def keep_rewards(ring: Ring, rows: Incoming, slots: Numbers) -> None:
    if ring.rewards is not None and ring.resident < ring.capacity:
        ring.rewards[slots] = rows.stored["reward"]
