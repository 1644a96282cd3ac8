"""Put single transitions into the ring so that each state lies there once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import numpy as np

from aitrade_cli.replay.adding.fitting import fitting
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
    end_episode,
)
from aitrade_cli.replay.schema import NEXT, STATE, Field, SchemaMismatch

LINE_BYTES: Final = LINE.size
Entry: TypeAlias = tuple[np.ndarray, tuple[int, ...], Field]
Plain: TypeAlias = tuple[Any, Any, Any]  # a type or none, the least, the most


class Adder:
    """Writes single transitions; everything that can be looked up once is.

    A state goes to the ring as bytes, and the bytes of the state that an environment is in
    are kept: whether the next row begins with it is one comparison of two strings of bytes.
    """

    def __init__(self, ring: Ring) -> None:
        schema = ring.schema
        self.ring = ring
        self.names = [field.name for field in schema.state]
        self.fields = list(schema.state)
        self.plain = self.names == [STATE]
        self.shape = schema.state[0].shape
        self.dtype = np.dtype(schema.state[0].dtype)
        self.length = schema.record_bytes
        self.pieces = [
            (schema.offset(field.name), schema.offset(field.name) + field.bytes)
            for field in schema.state
        ]
        self.start, self.end = self.pieces[0]
        self.act = entry_of(ring, schema["act"]) if "act" in schema else None
        self.reward = entry_of(ring, schema["reward"]) if "reward" in schema else None
        self.plain_act, self.plain_reward = plain(self.act), plain(self.reward)
        self.others = {
            field.name: entry_of(ring, field)
            for field in schema.fields
            if not field.is_state and field.name not in {"act", "reward"}
        }
        self.stores_next = schema.stores_next
        # where not all records are in memory, all rewards are
        self.rewards = ring.rewards if ring.resident < ring.capacity else None

    def add(  # noqa: PLR0912, PLR0915
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
        # long because every call that it makes costs a tenth of a microsecond
        ring = self.ring
        # what does not fit is refused before anything is written: the row that it would go to
        # still holds the oldest transition, and an episode that ends here is not open any more
        state = self.packed(obs)
        if self.act is not None:
            kind, least, most = self.plain_act
            if not (isinstance(act, kind) and least <= act <= most):
                act = fitted(self.act, act)
        if self.reward is not None:
            kind, least, most = self.plain_reward
            if not (isinstance(reward, kind) and least <= reward <= most):
                reward = fitted(self.reward, reward)
        others = None
        if self.others or more:
            others = self.fitted_others(more, next_obs if self.stores_next else None)
        after = None
        if next_obs is not None and not self.stores_next:
            after = self.packed(next_obs)
        try:
            flags = (TERMINATED if terminated else 0) | (TRUNCATED if truncated else 0)
        except (ValueError, RuntimeError) as error:
            raise SchemaMismatch(f"an end mark is true or false: {error}") from error
        if env < 0 or env >= len(ring.last):
            ring.know(env + 1)
        last = ring.last[env]
        if last >= 0 and ring.awaited[env] and not self.goes_on(state, env):
            end_episode(ring, env)
            last = -1
        index = ring.total
        slot, row = index % ring.capacity, index % ring.resident
        self.write(row, state)
        if self.act is not None:
            self.act[0][row] = act
        if self.reward is not None:
            self.reward[0][row] = reward
            if self.rewards is not None:
                self.rewards[slot] = reward
        if others is not None:
            for view, value in others:
                view[row] = value
        if last >= 0:
            if last > index - ring.capacity and not self.stores_next:
                ring.following[last % ring.capacity] = slot
            step, back = ring.step[env], index - last
        else:
            step, back = 0, 0
            ring.episode[env] = ring.next_episode
            ring.next_episode += 1
        if ring.unusable and index >= ring.capacity and ring.marks[slot] & UNUSABLE:
            ring.unusable -= 1
        LINE.pack_into(ring.lines, slot * LINE_BYTES, ring.episode[env], step, back, env)
        ring.marks[slot] = flags
        ring.last[env], ring.step[env], ring.total = index, step + 1, index + 1
        if after is not None:
            self.write(ring.resident + 1 + env, after)
            ring.following[slot] = ring.capacity + 1 + env
            ring.awaited[env], ring.newest[env] = True, after
            if flags:
                end_episode(ring, env)
        else:
            self.lead_nowhere(slot, env, flags)
        return index

    def lead_nowhere(self, slot: int, env: int, flags: int) -> None:
        """Nobody said which state came next, or the row itself holds it."""
        ring = self.ring
        ring.awaited[env] = False
        ring.following[slot] = slot if self.stores_next else NOTHING
        if flags:
            ring.last[env] = -1
        if flags and not self.stores_next:
            ring.marks[slot] = flags | NO_LAST_STATE
            if flags & TERMINATED:
                ring.following[slot] = ring.zero_slot

    def goes_on(self, state: bytes | list[bytes], env: int) -> bool:
        """Whether this is the state that the newest transition of ``env`` led to."""
        ring = self.ring
        newest = ring.newest[env]
        if newest is None:  # it came in a batch
            start = ring.spare(env) * self.length
            parts = [bytes(ring.raw[start + begin : start + end]) for begin, end in self.pieces]
            newest = parts[0] if self.plain else parts
        return state == newest

    def packed(self, obs: Value) -> bytes | list[bytes]:
        """The bytes of a state, one string for each of its parts."""
        if self.plain:
            if getattr(obs, "shape", None) != self.shape or obs.dtype != self.dtype:
                obs = fitting(self.fields[0], obs)
            return obs.tobytes() if isinstance(obs, np.ndarray) else np.asarray(obs).tobytes()
        parts = flatten({STATE: obs})
        if parts.keys() != set(self.names):
            raise SchemaMismatch(
                f"the observation has `{', '.join(parts)}`, the store `{', '.join(self.names)}`"
            )
        return [fitting(field, parts[field.name]).tobytes() for field in self.fields]

    def write(self, row: int, state: bytes | list[bytes]) -> None:
        at = row * self.length
        if isinstance(state, bytes):
            self.ring.raw[at + self.start : at + self.end] = state
            return
        for (begin, end), part in zip(self.pieces, state, strict=True):
            self.ring.raw[at + begin : at + end] = part

    def fitted_others(
        self, more: Mapping[str, Value], next_obs: Value
    ) -> list[tuple[np.ndarray, Value]]:
        """Where each further field goes, and what of it."""
        given = flatten(more) if next_obs is None else flatten({**more, NEXT + STATE: next_obs})
        if given.keys() != self.others.keys():
            raise SchemaMismatch(
                f"given are `{', '.join(given) or 'no'}` further fields, "
                f"the store has `{', '.join(self.others)}`"
            )
        entries = [(self.others[name], value) for name, value in given.items()]
        return [(entry[0], fitted(entry, value)) for entry, value in entries]


def entry_of(ring: Ring, field: Field) -> Entry:
    return ring.views[field.name], field.shape, field


def fitted(entry: Entry, value: Value) -> Value:
    view, shape, field = entry
    if getattr(value, "shape", None) != shape or value.dtype != view.dtype:
        return fitting(field, value)
    return value


def plain(entry: Entry | None) -> Plain:
    """The plain numbers that a field keeps as they are: of which type, the least, the most."""
    if entry is None or entry[1]:
        return (), 0, 0
    dtype = entry[0].dtype
    if dtype.kind == "f":
        most = float(np.finfo(dtype).max)
        return float, -most, most
    if dtype.kind in "iu":
        return int, int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    return (), 0, 0
