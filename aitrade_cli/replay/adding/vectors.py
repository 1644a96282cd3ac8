"""Put one transition of each of many environments into the ring."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from aitrade_cli.replay.adding.batching import Incoming, Numbers, continues, keep_rewards, write
from aitrade_cli.replay.ring import (
    COLUMNS,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    Ring,
    end_episodes,
)
from aitrade_cli.replay.schema import NEXT


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
    write(ring, with_final(ring, rows, final_state), index % ring.resident)
    keep_rewards(ring, rows, slots)
    ring.place(made, slots)
    if not ring.schema.stores_next:
        held = alive & (last >= ring.first)
        ring.following[last[held] % ring.capacity] = slots[held]
    ends = rows.terminated | rows.truncated
    ring.episode[:count], ring.step[:count] = episode.tolist(), (step + 1).tolist()
    ring.last[:count] = index.tolist()
    follow_step(ring, rows, final_state, index, ends)


def with_final(
    ring: Ring, rows: Incoming, final_state: tuple[np.ndarray, ...] | None
) -> dict[str, np.ndarray]:
    """The fields of the records: where those hold their next states, the true last ones."""
    if final_state is None or not ring.schema.stores_next:
        return rows.stored
    ends = rows.terminated | rows.truncated
    made = dict(rows.stored)
    for field, last in zip(ring.schema.state, final_state, strict=True):
        name = NEXT + field.name
        if name not in made:
            continue
        made[name] = rows.stored[name].copy()
        made[name][ends] = last[ends]
    return made


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
    ring.newest[: len(slots)] = [None] * len(slots)
    for position, field in enumerate(ring.schema.state):
        view = ring.views[field.name]
        if rows.next_state is not None:
            view[ring.resident + 1 + envs] = rows.next_state[position]
        if final_state is not None:
            view[ring.resident + 1 + envs[ends]] = final_state[position][ends]
