"""Put many transitions into the ring at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from aitrade_cli.replay.fitting import fitting
from aitrade_cli.replay.interfaces import Value
from aitrade_cli.replay.nested import flatten
from aitrade_cli.replay.ring import (
    COLUMNS,
    LAST_STATE,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    Ring,
    beside,
    end_episodes,
    write_field,
)
from aitrade_cli.replay.schema import NEXT, STATE, Schema, SchemaMismatch

Numbers = Int64[np.ndarray, " n"]


@dataclass(frozen=True, slots=True)
class Incoming:
    """n transitions as arrays that fit their fields."""

    stored: dict[str, np.ndarray]  # every field of the schema
    next_state: tuple[np.ndarray, ...] | None  # in the order of ``schema.state``
    terminated: Bool[np.ndarray, " n"]
    truncated: Bool[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.terminated)

    def piece(self, start: int, end: int) -> Incoming:
        return Incoming(
            {name: array[start:end] for name, array in self.stored.items()},
            None if self.next_state is None else tuple(a[start:end] for a in self.next_state),
            self.terminated[start:end],
            self.truncated[start:end],
        )


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
    rows = (len(first),)
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
    array = np.asarray(value)
    if array.dtype == np.bool_ and array.shape == rows:
        return array
    if array.size != rows[0]:
        raise SchemaMismatch(f"{array.size} end marks for {rows[0]} rows")
    return array.reshape(rows).astype(np.bool_)


def as_bytes(array: np.ndarray) -> UInt8[np.ndarray, "n bytes"]:
    flat = np.ascontiguousarray(array).reshape(len(array), math.prod(array.shape[1:]))
    return flat.view(np.uint8)


def differing(one: Sequence[np.ndarray], other: Sequence[np.ndarray]) -> Bool[np.ndarray, " n"]:
    """Rows in which any part differs in any bit."""
    count = len(one[0])
    found = np.zeros(count, np.bool_)
    for a, b in zip(one, other, strict=True):
        left, right = as_bytes(a), as_bytes(b)
        if left.shape[1] % 8 == 0:
            left, right = left.view(np.uint64), right.view(np.uint64)
        unlike = left != right
        if unlike.any():
            found |= unlike.any(axis=1)
    return found


def add_sequence(ring: Ring, rows: Incoming, env: int) -> None:
    """Consecutive transitions of one environment; at most half of what is in memory."""
    ring.know(env + 1)
    count = len(rows)
    state = tuple(rows.stored[field.name] for field in ring.schema.state)
    breaks = rows.terminated | rows.truncated
    if rows.next_state is not None and count > 1:
        after = tuple(array[:-1] for array in rows.next_state)
        breaks[:-1] |= differing(after, tuple(array[1:] for array in state))
    if ring.last[env] >= 0 and not continues(ring, tuple(array[:1] for array in state), [env])[0]:
        end_episodes(ring, np.array([env]))
    if not breaks[:-1].any() and ring.total % ring.resident + count < ring.resident:
        add_run(ring, rows, env)
    else:
        add_runs(ring, rows, breaks, env)


def add_run(ring: Ring, rows: Incoming, env: int) -> None:
    """One stretch of an episode that lies in the ring without a seam."""
    count, index, last = len(rows), ring.total, ring.last[env]
    if last < 0:
        ring.episode[env], ring.step[env] = ring.next_episode, 0
        ring.next_episode += 1
    slot = index % ring.capacity
    where = slice(slot, slot + count)
    if ring.unusable:
        ring.evict(np.arange(slot, slot + count))
    place = index % ring.resident
    for field in ring.schema.fields:
        write_field(ring, field, slice(place, place + count), rows.stored[field.name])
    lines = ring.columns[where]
    lines["episode"], lines["env"], lines["back"] = ring.episode[env], env, 1
    lines["step"] = np.arange(ring.step[env], ring.step[env] + count)
    lines["back"][0] = index - last if last >= 0 else 0
    ring.flags[where] = rows.terminated * np.uint8(TERMINATED) + rows.truncated * np.uint8(
        TRUNCATED
    )
    ring.following[where] = np.arange(slot + 1, slot + count + 1)
    if last >= max(0, index + count - ring.capacity):
        ring.following[last % ring.capacity] = slot
    if ring.rewards is not None and ring.resident < ring.capacity:
        ring.rewards[where] = rows.stored["reward"]
    ring.total += count
    ring.last[env], ring.step[env] = index + count - 1, ring.step[env] + count
    settle(ring, rows, env)


def settle(ring: Ring, rows: Incoming, env: int) -> None:
    """Keep the state that the newest row of an environment led to."""
    slot = (ring.total - 1) % ring.capacity
    ended = bool(rows.terminated[-1] or rows.truncated[-1])
    ring.awaited[env] = False
    if ring.schema.stores_next:
        own = np.arange(ring.total - len(rows), ring.total) % ring.capacity
        ring.following[own] = own
    elif rows.next_state is not None:
        ring.following[slot] = ring.capacity + 1 + env
        ring.awaited[env] = True
        for field, array in zip(ring.schema.state, rows.next_state, strict=True):
            ring.views[field.name][ring.spare(env)] = array[-1]
    else:
        ring.following[slot] = ring.zero_slot if rows.terminated[-1] else NOTHING
        ring.flags[slot] |= NO_LAST_STATE if ended else 0
    if ended:
        end_episodes(ring, np.array([env]))


def add_runs(ring: Ring, rows: Incoming, breaks: Bool[np.ndarray, " n"], env: int) -> None:
    """The same for stretches of several episodes, each with its last state behind it."""
    count = len(rows)
    # where each transition and each last state comes to lie
    finals = breaks if rows.next_state is not None else np.zeros(count, np.bool_)
    at = np.arange(count)
    at[1:] += np.cumsum(finals)[:-1]
    last_at = at[finals] + 1
    made = columns_of(ring, breaks, at, count + int(np.count_nonzero(finals)), env)
    made["flags"][at] = rows.terminated * TERMINATED + rows.truncated * TRUNCATED
    if rows.next_state is None:
        made["flags"][at[rows.terminated | rows.truncated]] |= NO_LAST_STATE
    made["flags"][last_at] = LAST_STATE
    index = ring.total + np.arange(len(made))
    slots, places = index % ring.capacity, index % ring.resident
    write(ring, rows.stored, places[at])
    keep_rewards(ring, rows, slots[at])
    if rows.next_state is not None:
        for field, array in zip(ring.schema.state, rows.next_state, strict=True):
            ring.views[field.name][places[last_at]] = array[finals]
            ring.views[field.name][ring.spare(env)] = array[-1]
    link(ring, rows, slots, at, breaks, env)
    ring.place(made, slots)
    goes_on = not breaks[-1]
    ring.last[env] = int(index[at[-1]]) if goes_on else -1
    ring.awaited[env] = goes_on and rows.next_state is not None
    ring.episode[env] = int(made["episode"][at[-1]])
    ring.step[env] = int(made["step"][at[-1]]) + 1


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


def columns_of(
    ring: Ring, breaks: Bool[np.ndarray, " n"], at: Numbers, count: int, env: int
) -> np.ndarray:
    """Episode, step and way back of consecutive rows of one environment."""
    made = np.zeros(count, COLUMNS)
    starts = np.zeros(count, np.bool_)
    starts[at[1:][breaks[:-1]]] = True
    open_last = ring.last[env]
    goes_on = open_last >= 0
    starts[0] = not goes_on
    begun = np.flatnonzero(starts)
    # the episode that goes on began `step` rows ago, were they side by side
    start_of = np.concatenate(([-ring.step[env]] if goes_on else [], begun)).astype(np.int64)
    fresh = ring.next_episode + np.arange(len(begun))
    episodes = np.concatenate(([ring.episode[env]] if goes_on else [], fresh)).astype(np.int64)
    number = np.cumsum(starts) - (0 if goes_on else 1)
    made["episode"] = episodes[number]
    made["step"] = np.arange(count) - start_of[number]
    ring.next_episode += len(begun)
    made["back"] = np.where(starts, 0, 1)
    if goes_on:
        made["back"][0] = ring.total - open_last
    made["env"] = env
    return made


def link(
    ring: Ring,
    rows: Incoming,
    slots: Int64[np.ndarray, " rows"],
    at: Numbers,
    breaks: Bool[np.ndarray, " n"],
    env: int,
) -> None:
    """Point each row at the one whose record begins with its next state."""
    last = ring.last[env]
    live_from = ring.total + len(slots) - ring.capacity
    if last >= max(0, live_from):
        ring.following[last % ring.capacity] = slots[0]
    if ring.schema.stores_next:
        ring.following[slots] = slots
        return
    ring.following[slots] = np.concatenate((slots[1:], [NOTHING]))
    if rows.next_state is None:
        ended = np.where(rows.terminated, ring.zero_slot, NOTHING)
        ring.following[slots[at[breaks]]] = ended[breaks]
    else:
        lasts = slots[at[breaks] + 1]
        ring.following[lasts] = NOTHING
        if not breaks[-1]:
            ring.following[slots[-1]] = ring.capacity + 1 + env


def write(ring: Ring, stored: Mapping[str, np.ndarray], places: Numbers) -> None:
    """Copy fields to record rows."""
    where = beside(places)
    for field in ring.schema.fields:
        write_field(ring, field, where, stored[field.name])


def keep_rewards(ring: Ring, rows: Incoming, slots: Numbers) -> None:
    if ring.rewards is not None and ring.resident < ring.capacity:
        ring.rewards[slots] = rows.stored["reward"]


def add_step(ring: Ring, rows: Incoming, final_state: tuple[np.ndarray, ...] | None) -> None:
    """One transition of each of n environments."""
    count = len(rows)
    ring.know(count)
    envs = np.arange(count)
    state = tuple(rows.stored[field.name] for field in ring.schema.state)
    last = np.array(ring.last[:count])
    alive = continues(ring, state, range(count))
    broken = np.flatnonzero((last >= 0) & ~alive)
    if len(broken):
        end_episodes(ring, broken)
    index = ring.total + envs
    slots = index % ring.capacity
    made = np.zeros(count, COLUMNS)
    fresh = np.flatnonzero(~alive)
    episode, step = np.array(ring.episode[:count]), np.array(ring.step[:count])
    episode[fresh], step[fresh] = ring.next_episode + np.arange(len(fresh)), 0
    ring.next_episode += len(fresh)
    made["episode"], made["step"], made["env"] = episode, step, envs
    made["back"] = np.where(alive, index - last, 0)
    made["flags"] = rows.terminated * TERMINATED + rows.truncated * TRUNCATED
    write(ring, rows.stored, index % ring.resident)
    keep_rewards(ring, rows, slots)
    ring.place(made, slots)
    held = alive & (last >= ring.first)
    ring.following[last[held] % ring.capacity] = slots[held]
    ends = rows.terminated | rows.truncated
    ring.episode[:count], ring.step[:count] = episode.tolist(), (step + 1).tolist()
    ring.last[:count] = index.tolist()
    follow_step(ring, rows, final_state, index, ends)


def follow_step(
    ring: Ring,
    rows: Incoming,
    final_state: tuple[np.ndarray, ...] | None,
    index: Numbers,
    ends: Bool[np.ndarray, " n"],
) -> None:
    """Keep the states that the transitions led to; those that ended get rows of their own."""
    slots, envs = index % ring.capacity, np.arange(len(index))
    if ring.schema.stores_next:
        ring.following[slots] = slots
    elif rows.next_state is None and final_state is None:
        ring.following[slots] = np.where(rows.terminated, ring.zero_slot, NOTHING)
        ring.flags[slots] |= np.where(ends, NO_LAST_STATE, 0).astype(np.uint8)
        ring.awaited[: len(index)] = [False] * len(index)
    else:
        keep_next(ring, rows, final_state, slots, ends)
    if ends.any():
        end_episodes(ring, envs[ends])


def keep_next(
    ring: Ring,
    rows: Incoming,
    final_state: tuple[np.ndarray, ...] | None,
    slots: Numbers,
    ends: Bool[np.ndarray, " n"],
) -> None:
    """Copy the next states to the spare rows of their environments."""
    envs = np.arange(len(slots))
    told = ends | (rows.next_state is not None)
    ring.following[slots] = np.where(told, ring.capacity + 1 + envs, NOTHING)
    ring.awaited[: len(slots)] = told.tolist()
    for position, field in enumerate(ring.schema.state):
        view = ring.views[field.name]
        if rows.next_state is not None:
            view[ring.resident + 1 + envs] = rows.next_state[position]
        if final_state is not None:
            view[ring.resident + 1 + envs[ends]] = final_state[position][ends]
