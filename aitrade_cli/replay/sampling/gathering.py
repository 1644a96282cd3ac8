"""Turn slots into a batch: one block of records, every field a view into it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt8

from aitrade_cli.replay.ring import LINK, TERMINATED, TRUNCATED, UNUSABLE, Ring
from aitrade_cli.replay.sampling.windows import Pad, spans, windows
from aitrade_cli.replay.schema import NEXT

Slots: TypeAlias = Int64[np.ndarray, " n"]
Block: TypeAlias = UInt8[np.ndarray, "records record"]


@runtime_checkable
class Fetch(Protocol):
    """Copies the records of slots into a block, from memory or from disk."""

    def __call__(self, slots: Slots, out: Block) -> None: ...


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be rebuilt for each row.

    Attributes:
        n_step: rewards that ``reward`` sums at most.
        gamma: discount of one step.
        window: states that ``obs`` holds; 0 for the single state without a window axis.
        pad: what stands before an episode's first state.
    """

    n_step: int = 1
    gamma: float = 0.99
    window: int = 0
    pad: Pad = "repeat"


@dataclass(frozen=True, slots=True)
class Steps:
    """Where following each row led."""

    reward: Float32[np.ndarray, " n"] | None  # None: the record's own
    end: Slots  # the last row that was followed
    reached: Int32[np.ndarray, " n"]  # the slot whose state came next
    discount: Float32[np.ndarray, " n"]
    flags: UInt8[np.ndarray, " n"]


def one_step(ring: Ring, slots: Slots, gamma: float) -> Steps:
    """Each row as it is."""
    links = ring.words[slots].view(LINK)
    flags = links["flags"]
    return Steps(None, slots, links["following"], discounts(gamma)[flags & TERMINATED], flags)


@cache
def discounts(gamma: float) -> Float32[np.ndarray, 2]:
    """Of a step that goes on, and of one that ends the episode."""
    return np.array([gamma, 0.0], np.float32)


def steps_ahead(ring: Ring, slots: Slots, n_step: int, gamma: float) -> Steps:
    """Follow each row for up to ``n_step`` rows of its episode, and sum their rewards.

    Stops at the row that ended the episode and at the newest row of an open one, so
    ``discount`` is gamma to the number of rewards that were summed.

    Source:
        Sutton and Barto, Reinforcement Learning, 2nd ed., equation 7.1.
    """
    rewards = ring.rewards
    at = slots.copy()
    total = np.zeros(len(at)) if rewards is None else rewards[at].astype(np.float64)
    factor = np.full(len(at), gamma)
    for _ in range(1, n_step):
        after = ring.following[at]
        on = (ring.flags[at] & (TERMINATED | TRUNCATED) == 0) & (after < ring.capacity)
        safe = np.where(on, after, at)
        on &= (ring.flags[safe] & UNUSABLE == 0) & (ring.following[safe] >= 0)
        if not on.any():
            break
        at = np.where(on, after, at)
        if rewards is not None:
            total += np.where(on, factor * rewards[at], 0.0)
        factor = np.where(on, factor * gamma, factor)
    flags = ring.flags[at]
    return Steps(
        total.astype(np.float32),
        at,
        ring.following[at],
        np.where(flags & TERMINATED != 0, 0.0, factor).astype(np.float32),
        flags,
    )


def follow(ring: Ring, slots: Slots, wish: Wish) -> Steps:
    if wish.n_step == 1:
        return one_step(ring, slots, wish.gamma)
    return steps_ahead(ring, slots, wish.n_step, wish.gamma)


def needed(ring: Ring, slots: Slots, steps: Steps, wish: Wish) -> Int64[np.ndarray, " records"]:
    """Slots of every record that the batch needs, in the order in which `lay_out` reads them."""
    if wish.window == 0:
        return slots if ring.schema.stores_next else np.concatenate((slots, steps.reached))
    before = windows(ring, slots, wish.window, wish.pad).slots
    if wish.n_step == 1:
        return np.column_stack((before, steps.reached)).reshape(-1)
    ends = windows(ring, steps.end, wish.window, wish.pad).slots
    after = np.column_stack((ends[:, 1:], steps.reached))
    return np.concatenate((before.reshape(-1), after.reshape(-1)))


def from_spans(ring: Ring, slots: Slots, steps: Steps, wish: Wish) -> Block | None:
    """The windows as single pieces of memory, where they all lie side by side."""
    if wish.window == 0 or wish.n_step > 1 or ring.resident < ring.capacity:
        return None
    found = windows(ring, slots, wish.window, wish.pad)
    straight = found.beside & (steps.reached == slots + 1)
    if 2 * np.count_nonzero(straight) < len(slots):
        return None
    width = wish.window + 1
    starts = np.where(straight, found.slots[:, 0], 0)
    block = spans(ring.records, starts, width).reshape(len(slots), width, -1)
    bent = np.flatnonzero(~straight)
    if len(bent):
        rest = np.column_stack((found.slots[bent], steps.reached[bent]))
        block[bent] = ring.records.take(rest, axis=0)
    return block.reshape(len(slots) * width, -1)


def lay_out(
    ring: Ring, block: Block, steps: Steps, wish: Wish, count: int
) -> dict[str, np.ndarray]:
    """Name the parts of a block of records; nothing is copied but sums of rewards."""
    rows = block.view(ring.schema.record)[:, 0]
    if wish.window == 0:
        now, after = rows[:count], rows[count:]
        made = {name: now[name] for name in ring.schema.names}
        if not ring.schema.stores_next:
            made |= {NEXT + field.name: after[field.name] for field in ring.schema.state}
    else:
        made = lay_out_windows(ring, rows, wish, count)
    if steps.reward is not None and "reward" in made:
        made["reward"] = steps.reward
    made["terminated"] = (steps.flags & TERMINATED).view(np.bool_)
    made["truncated"] = (steps.flags & TRUNCATED) != 0
    made["discount"] = steps.discount
    return made


def lay_out_windows(ring: Ring, rows: np.ndarray, wish: Wish, count: int) -> dict[str, np.ndarray]:
    width = wish.window
    if wish.n_step == 1:
        both = rows.reshape(count, width + 1)
        now, after = both[:, :width], both[:, 1:]
    else:
        now, after = rows.reshape(2, count, width)
    made = {
        field.name: now[field.name] if field.is_state else now[:, -1][field.name]
        for field in ring.schema.fields
    }
    return made | {NEXT + field.name: after[field.name] for field in ring.schema.state}
