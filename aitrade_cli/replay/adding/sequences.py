"""Put consecutive transitions of one environment into the ring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from aitrade_cli.replay.adding.batching import incoming
from aitrade_cli.replay.adding.kernels import add_rows
from aitrade_cli.replay.by_address import address_of
from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.ring import Ring
from aitrade_cli.replay.schema import NEXT

# n rows of every field, then of every part of the next state if there is one, then both end
# marks; each array of the field's dtype and shape, its rows side by side
Rows: TypeAlias = list[np.ndarray]


class Sequences:
    """Adds arrays of rows; everything that can be looked up once is.

    Args:
        ring: that they come to.
    """

    def __init__(self, ring: Ring) -> None:
        schema = ring.schema
        self.ring = ring
        self.names = schema.names
        self.own = schema.stores_next
        after = () if schema.stores_next else schema.state
        self.wanted = [
            *((field.name, np.dtype(field.dtype), field.shape) for field in schema.fields),
            *((NEXT + field.name, np.dtype(field.dtype), field.shape) for field in after),
        ]
        self.lines = ring.columns.view(np.int64).reshape(-1, 3)
        # what `kernels.add_rows` wants: the addresses change from call to call
        self.fields = np.array(
            [(0, field.bytes, schema.offset(field.name)) for field in schema.fields], np.int64
        )
        self.states = np.array(
            [(0, 0, field.bytes, schema.offset(field.name)) for field in schema.state], np.int64
        )
        self.places = [schema.names.index(field.name) for field in schema.state]
        self.reward = schema.names.index("reward") if "reward" in schema else -1
        partly = ring.rewards is not None and ring.resident < ring.capacity
        self.rewards = ring.rewards if partly else None
        self.unmarked = np.zeros(0, np.bool_)

    def fit(self, fields: Mapping[str, Value]) -> Rows:
        """Check what was given against the schema.

        Raises:
            SchemaMismatch: a field is missing, unknown, of another shape or another length.
        """
        given = self.as_given(fields)
        if given is not None:
            return given
        rows = incoming(self.ring.schema, fields)
        after = rows.next_state or ()
        every = (*rows.stored.values(), *after, rows.terminated, rows.truncated)
        return [np.ascontiguousarray(array) for array in every]

    def as_given(self, fields: Mapping[str, Value]) -> Rows | None:
        """The rows, where every array fits as it is; None where one must be looked at."""
        found: Rows = []
        count, marked = -1, 0
        for name, dtype, shape in self.wanted:
            array = fields.get(name)
            if type(array) is not np.ndarray or not array.ndim or array.dtype != dtype:
                return None
            if count < 0:
                count = len(array)
            if array.shape != (count, *shape) or not array.flags.c_contiguous:
                return None
            found.append(array)
        for name in ("terminated", "truncated"):
            array = fields.get(name)
            if array is None:
                if len(self.unmarked) < count:
                    self.unmarked = np.zeros(count, np.bool_)
                found.append(self.unmarked[:count])
                continue
            if type(array) is not np.ndarray or array.dtype != np.bool_:
                return None
            if array.shape != (count,) or not array.flags.c_contiguous:
                return None
            marked += 1
            found.append(array)
        return found if len(self.wanted) + marked == len(fields) else None

    def add(self, rows: Rows, env: int) -> None:
        """Consecutive transitions of one environment; at most half of what is in memory."""
        ring = self.ring
        if env < 0 or env >= len(ring.last):
            ring.know(env + 1)
        stored = len(self.names)
        told = len(rows) > stored + 2
        addresses = [address_of(array) for array in rows]
        self.fields[:, 0] = addresses[:stored]
        self.states[:, 0] = [addresses[place] for place in self.places]
        if told:
            self.states[:, 1] = addresses[stored:-2]
        rewards = 0, 0, 0
        if self.rewards is not None:
            from_to = address_of(self.rewards), addresses[self.reward]
            rewards = *from_to, self.rewards.itemsize
        counts = add_rows(
            self.fields,
            self.states,
            (addresses[-2], addresses[-1]),
            rewards,
            (len(rows[0]), env, ring.resident),
            (told, self.own),
            ring.records,
            self.lines,
            ring.words,
            (
                ring.total,
                ring.unusable,
                ring.next_episode,
                ring.last[env],
                ring.episode[env],
                ring.step[env],
                int(ring.awaited[env]),
            ),
        )
        ring.total, ring.unusable, ring.next_episode = counts[:3]
        ring.last[env], ring.episode[env], ring.step[env] = counts[3:6]
        ring.awaited[env], ring.newest[env] = bool(counts[6]), None
