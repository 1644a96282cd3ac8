"""Put consecutive transitions of one environment into the ring."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Int64

from aitrade_cli.replay.batching import (
    Incoming,
    Numbers,
    continues,
    differing,
    keep_rewards,
    write,
)
from aitrade_cli.replay.ring import (
    COLUMNS,
    LAST_STATE,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    Ring,
    end_episode,
    piece_view,
)


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
        end_episode(ring, env)
    # the ring has a seam where its slots begin anew, and another where its records do
    slot, place = ring.total % ring.capacity, ring.total % ring.resident
    seamless = slot + count <= ring.capacity and place + count <= ring.resident
    if seamless and not breaks[:-1].any():
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
    compose(ring, rows, place)
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


def compose(ring: Ring, rows: Incoming, place: int) -> None:
    """Put whole records together in cache, then move them to the ring in one piece."""
    count = len(rows)
    if len(ring.scratch) < count:
        ring.scratch = np.zeros((count, ring.schema.record_bytes), np.uint8)
    scratch = ring.scratch[:count]
    for field in ring.schema.fields:
        array = np.ascontiguousarray(rows.stored[field.name])
        whole = array.reshape(count, field.bytes // array.itemsize).view(f"V{field.bytes}")
        piece_view(ring.schema, scratch, field)[:] = whole[:, 0]
    ring.records[place : place + count] = scratch


def settle(ring: Ring, rows: Incoming, env: int) -> None:
    """Keep the state that the newest row of an environment led to."""
    slot = (ring.total - 1) % ring.capacity
    ended = bool(rows.terminated[-1] or rows.truncated[-1])
    ring.awaited[env], ring.newest[env] = False, None
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
        end_episode(ring, env)


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
    ring.awaited[env], ring.newest[env] = goes_on and rows.next_state is not None, None
    ring.episode[env] = int(made["episode"][at[-1]])
    ring.step[env] = int(made["step"][at[-1]]) + 1


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
