"""Put transitions into the ring so that each state lies there once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np

from aitrade_cli.replay.fitting import fitting
from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import flatten
from aitrade_cli.replay.ring import (
    LINE,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    UNUSABLE,
    Ring,
    end_episodes,
)
from aitrade_cli.replay.schema import NEXT, STATE, Field, SchemaMismatch

LINE_BYTES: Final = LINE.size
Entry: TypeAlias = tuple[np.ndarray, tuple[int, ...], Field]


def entry_of(ring: Ring, field: Field) -> Entry:
    return ring.views[field.name], field.shape, field


class Adder:
    """Writes single transitions; everything that can be looked up once is."""

    def __init__(self, ring: Ring) -> None:
        self.ring = ring
        self.names = [field.name for field in ring.schema.state]
        self.plain = self.names == [STATE]
        self.state = [entry_of(ring, field) for field in ring.schema.state]
        self.act = entry_of(ring, ring.schema["act"]) if "act" in ring.schema else None
        self.reward = ring.views.get("reward")
        self.others = {
            field.name: entry_of(ring, field)
            for field in ring.schema.fields
            if not field.is_state and field.name not in {"act", "reward"}
        }
        self.stores_next = ring.schema.stores_next
        # where not all records are in memory, all rewards are
        self.rewards = ring.rewards if ring.resident < ring.capacity else None
        self.record_bytes = ring.schema.record_bytes
        self.pieces = [
            (ring.schema.offset(field.name), ring.schema.offset(field.name) + field.bytes)
            for field in ring.schema.state
        ]

    def add(
        self,
        obs: Value,
        act: Value,
        reward: Value,
        next_obs: Value,
        terminated: Value,
        truncated: Value,
        env: int,
        more: Mapping[str, Value],
    ) -> int:
        """Write one transition; its index."""
        ring = self.ring
        if env >= len(ring.last):
            ring.know(env + 1)
        own_next = next_obs if self.stores_next else None
        index = self.begin(self.values_of(obs), env)
        row = index % ring.resident
        if self.act is not None:
            self.put(self.act, row, act)
        if self.reward is not None:
            self.reward[row] = reward
            if self.rewards is not None:
                self.rewards[index % ring.capacity] = reward
        if self.others or more:
            self.put_others(row, more, own_next)
        slot = index % ring.capacity
        flags = (TERMINATED if terminated else 0) | (TRUNCATED if truncated else 0)
        ring.marks[slot] = flags
        if self.stores_next:
            ring.following[slot] = slot
            if flags:
                ring.last[env] = -1
        elif next_obs is not None:
            self.write(ring.resident + 1 + env, self.values_of(next_obs))
            ring.following[slot] = ring.capacity + 1 + env
            ring.awaited[env] = True
            if flags:
                end_episodes(ring, np.array([env]))
        else:
            self.lead_nowhere(slot, env, flags)
        return index

    def lead_nowhere(self, slot: int, env: int, flags: int) -> None:
        """Nobody said which state came next."""
        ring = self.ring
        ring.awaited[env] = False
        ring.following[slot] = NOTHING
        if flags:
            ring.marks[slot] = flags | NO_LAST_STATE
            ring.last[env] = -1
        if flags & TERMINATED:
            ring.following[slot] = ring.zero_slot

    def begin(self, state: Sequence[Value], env: int) -> int:
        """A row with its state, linked to the one before it in the episode; its index."""
        ring = self.ring
        last = ring.last[env]
        index = ring.total
        if last >= 0 and ring.awaited[env] and not self.goes_on(state, env):
            end_episodes(ring, np.array([env]))
            last, index = -1, ring.total
        slot = index % ring.capacity
        if ring.unusable and index >= ring.capacity and ring.marks[slot] & UNUSABLE:
            ring.unusable -= 1
        self.write(index % ring.resident, state)
        if last >= 0:
            if last > index - ring.capacity:
                ring.following[last % ring.capacity] = slot
            back = index - last
        else:
            ring.episode[env], ring.step[env] = ring.next_episode, 0
            ring.next_episode += 1
            back = 0
        step = ring.step[env]
        LINE.pack_into(ring.lines, slot * LINE_BYTES, ring.episode[env], step, back, env)
        ring.last[env], ring.step[env] = index, step + 1
        ring.total = index + 1
        return index

    def goes_on(self, state: Sequence[Value], env: int) -> bool:
        """Whether this is the state that the newest transition of ``env`` led to."""
        ring = self.ring
        start = ring.spare(env) * self.record_bytes
        for (_, _, field), (begin, end), value in zip(self.state, self.pieces, state, strict=True):
            given = np.asarray(value, dtype=field.dtype)
            if given.tobytes() != bytes(ring.raw[start + begin : start + end]):
                return False
        return True

    def values_of(self, obs: Value) -> Sequence[Value]:
        if self.plain:
            return (obs,)
        parts = flatten({STATE: obs})
        if parts.keys() != set(self.names):
            raise SchemaMismatch(
                f"the observation has `{', '.join(parts)}`, the store `{', '.join(self.names)}`"
            )
        return [parts[name] for name in self.names]

    def write(self, row: int, state: Sequence[Value]) -> None:
        for entry, value in zip(self.state, state, strict=True):
            self.put(entry, row, value)

    def put(self, entry: Entry, row: int, value: Value) -> None:
        view, shape, field = entry
        if getattr(value, "shape", None) != shape or value.dtype != view.dtype:
            value = fitting(field, value)
        view[row] = value

    def put_others(self, row: int, more: Mapping[str, Value], next_obs: Value) -> None:
        given = flatten(more) if next_obs is None else flatten({**more, NEXT + STATE: next_obs})
        if given.keys() != self.others.keys():
            raise SchemaMismatch(
                f"given are `{', '.join(given) or 'no'}` further fields, "
                f"the store has `{', '.join(self.others)}`"
            )
        for name, value in given.items():
            self.put(self.others[name], row, value)
