"""The ring that rows are written to, and the links from each row to the one that follows.

Beside its record a row has a line of `COLUMNS`: its episode, its step in it, how many rows
back the step before lies, which environment made it, and flags. ``following`` holds, for the
slot of a row, the slot whose record begins with the state that came next. Rows past the ring
are spare ones: the first is all zeros, and one an environment holds the newest state of its
open episode until a row of its own is added. So each state is stored once.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
from jaxtyping import Int64, UInt8

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.schema import Field, Schema

COLUMNS: Final = np.dtype(
    [
        ("episode", "<i8"),
        ("step", "<i4"),
        ("back", "<i4"),
        ("env", "<i4"),
        ("flags", "u1"),
        ("", "V3"),
    ]
)
LINK: Final = np.dtype([("following", "<i4"), ("flags", "u1"), ("", "V3")])
# the same as one whole number, as compiled loops read it
LOW: Final = 0xFFFFFFFF  # the following row
GONE: Final = 0x80000000  # the sign of that: none follows
FLAGS: Final = 32  # where the flags begin
LINE: Final = struct.Struct("<qiii4x")
TERMINATED: Final = 1
TRUNCATED: Final = 2
LAST_STATE: Final = 4  # the row holds nothing but the last state of its episode
DAMAGED: Final = 8  # known by its number only
NO_LAST_STATE: Final = 16  # it ended, and nobody said in which state
UNUSABLE: Final = LAST_STATE | DAMAGED
NOTHING: Final = -1  # no state follows yet
MOST_ENVIRONMENTS: Final = 4096
SPARE: Final = MOST_ENVIRONMENTS + 1


class TooManyEnvironments(BadInput):
    """More environments than a store follows at once."""

    default_hint = "use a larger capacity or `memory`, or one store for each group of them"


class NoEnvironment(BadInput):
    """An environment has a number below 0."""

    default_hint = "`env=0` is the first"


class Ring:
    """Records, columns and links of the live rows.

    Args:
        schema: what a record holds.
        capacity: rows that are live at most.
        resident: how many of the newest records stay in memory; all without it.
    """

    def __init__(self, schema: Schema, capacity: int, resident: int | None = None) -> None:
        self.schema = schema
        self.capacity = capacity
        self.resident = capacity if resident is None else min(resident, capacity)
        self.total = 0
        self.unusable = 0  # live rows that cannot be drawn
        self.damaged = False  # whether a row was ever known by its number only
        self.next_episode = 0
        # calloc: what is not touched takes no memory, the spare rows least of all
        self.records = np.zeros((self.resident + SPARE, schema.record_bytes), np.uint8)
        self.columns = np.zeros(capacity, COLUMNS)
        # what a draw looks at lies in one word: it is read from memory once
        self.links = np.zeros(capacity, LINK)
        self.words = self.links.view(np.int64)
        self.following = self.links["following"]
        self.following[:] = NOTHING
        self.flags = self.links["flags"]
        self.marks = self.flags.data
        self.raw = self.records.reshape(-1).data
        self.lines = self.columns.view(np.uint8).data
        self.views = views_of(schema, self.records)
        self.pieces = {
            field.name: piece_view(schema, self.records, field) for field in schema.fields
        }
        self.zero_slot = capacity
        self.rewards = self.rewards_in_memory()
        # of each environment: index of its newest row or -1, its episode, its next step
        self.last: list[int] = []
        self.episode: list[int] = []
        self.step: list[int] = []
        self.newest: list[bytes | list[bytes] | None] = []  # that state as bytes, where known
        self.awaited: list[bool] = []  # whether the spare row holds what its newest row led to

    def rewards_in_memory(self) -> np.ndarray | None:
        """The reward of every slot: n-step returns read it of rows that are on disk too."""
        if "reward" not in self.views:
            return None
        if self.resident == self.capacity:
            return self.views["reward"][: self.capacity]
        return np.zeros(self.capacity, self.views["reward"].dtype)

    @property
    def first(self) -> int:
        """The oldest live index."""
        return max(0, self.total - self.capacity)

    @property
    def live(self) -> int:
        return min(self.total, self.capacity)

    @property
    def bytes(self) -> int:
        """Memory that rows, columns and links can take."""
        per_row = COLUMNS.itemsize + LINK.itemsize
        if self.rewards is not None and self.resident < self.capacity:
            per_row += self.rewards.itemsize
        return self.resident * self.schema.record_bytes + self.capacity * per_row

    def spare(self, env: int) -> int:
        """The record row that holds the newest state of an environment."""
        return self.resident + 1 + env

    def know(self, environments: int) -> None:
        """Make room for the open episodes of so many environments.

        Raises:
            NoEnvironment: one of them has a number below 0.
            TooManyEnvironments: of more than can be followed.
        """
        if environments < 1:
            raise NoEnvironment(f"environments count from 0, got `{environments - 1}`")
        # at a commit the newest state of each takes a row, before the others are on disk
        most = min(MOST_ENVIRONMENTS, max(1, self.resident // 2))
        if environments > most:
            raise TooManyEnvironments(
                f"{environments:,} environments, the store follows {most:,} at most"
            )
        missing = environments - len(self.last)
        self.last += [-1] * missing
        self.episode += [0] * missing
        self.step += [0] * missing
        self.awaited += [False] * missing
        self.newest += [None] * missing

    def index_of(self, slots: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The index of the row that lies in a slot now."""
        newest = self.total - 1
        return newest - (newest - slots) % self.capacity

    def places(self, slots: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """The record rows of slots, where all live rows are in memory."""
        if self.resident == self.capacity:
            return slots
        return np.where(slots < self.capacity, slots, slots - self.capacity + self.resident)

    def evict(self, slots: Int64[np.ndarray, " n"]) -> None:
        """Count out the unusable rows that lie where new ones are about to."""
        if self.total + len(slots) > self.capacity and self.unusable:
            old = self.flags[slots] & UNUSABLE
            self.unusable -= int(np.count_nonzero(old))
            self.flags[slots] = 0

    def place(self, columns: np.ndarray, slots: Int64[np.ndarray, " n"]) -> None:
        """Write the columns of new rows and count them in."""
        self.evict(slots)
        self.columns[slots] = columns
        self.flags[slots] = columns["flags"]
        self.unusable += int(np.count_nonzero(columns["flags"] & UNUSABLE))
        self.total += len(slots)


def views_of(schema: Schema, records: UInt8[np.ndarray, "n record"]) -> dict[str, np.ndarray]:
    """Each field of many records as an array of its own, no byte copied."""
    rows = records.view(schema.record)[:, 0]
    return {field.name: rows[field.name] for field in schema.fields}


def piece_view(schema: Schema, records: UInt8[np.ndarray, "n record"], field: Field) -> np.ndarray:
    """A field as one item a row: three times as fast to copy as an array of numbers."""
    return np.ndarray(
        (len(records),),
        np.dtype(f"V{field.bytes}"),
        records,
        schema.offset(field.name),
        (schema.record_bytes,),
    )


def write_field(
    ring: Ring, field: Field, where: slice | Int64[np.ndarray, " n"], rows: np.ndarray
) -> None:
    """Copy one field of many rows to record rows ``where``."""
    if rows.ndim == 1:
        ring.views[field.name][where] = rows
        return
    flat = np.ascontiguousarray(rows).reshape(len(rows), field.bytes // rows.itemsize)
    ring.pieces[field.name][where] = flat.view(f"V{field.bytes}")[:, 0]


def beside(places: Int64[np.ndarray, " n"]) -> slice | Int64[np.ndarray, " n"]:
    """Ascending places as a slice, where they lie side by side."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first == len(places) - 1 else places


def put_last_states(ring: Ring, envs: Int64[np.ndarray, " n"]) -> None:
    """Give the newest states of environments rows of their own.

    Those that have one since the last commit, and those whose state nobody told, get none.
    """
    last = np.array([ring.last[env] for env in envs], np.int64)
    waiting = (last >= ring.first) & np.array([ring.awaited[env] for env in envs], np.bool_)
    waiting &= ring.following[last % ring.capacity] == ring.capacity + 1 + envs
    envs, last = envs[waiting], last[waiting]
    if not len(envs):
        return
    index = ring.total + np.arange(len(envs))
    slots = index % ring.capacity
    ring.records[index % ring.resident] = ring.records[ring.resident + 1 + envs]
    made = np.zeros(len(envs), COLUMNS)
    made["episode"] = [ring.episode[env] for env in envs]
    made["step"] = [ring.step[env] for env in envs]
    made["back"], made["env"], made["flags"] = index - last, envs, LAST_STATE
    ring.place(made, slots)
    ring.following[slots] = NOTHING
    live = last >= ring.first
    ring.following[last[live] % ring.capacity] = slots[live]


def end_episodes(ring: Ring, envs: Int64[np.ndarray, " n"]) -> None:
    """Keep the last states of environments; what comes next from them begins anew."""
    put_last_states(ring, envs)
    for env in envs.tolist():
        ring.last[env], ring.awaited[env] = -1, False


def end_episode(ring: Ring, env: int) -> None:
    """The same for one environment, without an array for each number."""
    last, index = ring.last[env], ring.total
    spare = ring.capacity + 1 + env
    if ring.awaited[env] and last >= ring.first and ring.following[last % ring.capacity] == spare:
        slot = index % ring.capacity
        if ring.unusable and index >= ring.capacity and ring.marks[slot] & UNUSABLE:
            ring.unusable -= 1
        ring.records[index % ring.resident] = ring.records[ring.spare(env)]
        number, step = ring.episode[env], ring.step[env]
        LINE.pack_into(ring.lines, slot * LINE.size, number, step, index - last, env)
        ring.marks[slot] = LAST_STATE
        ring.unusable += 1
        ring.following[slot] = NOTHING
        ring.total = index + 1
        if last >= ring.first:
            ring.following[last % ring.capacity] = slot
    ring.last[env], ring.awaited[env] = -1, False
