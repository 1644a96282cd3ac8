"""The loop that puts many rows into the ring; `sequences` checks what it is given.

One pass over the rows: each is copied to its record, its next state is compared with the
state of the row behind it, and its line and its link are written. That is what single rows go
through in `singly`, without a call for each.
"""

from __future__ import annotations

import numpy as np

from aitrade_cli.replay.by_address import (
    CACHE_LINE,
    byte_at,
    copy_bytes,
    unlike,
    will_write,
)
from aitrade_cli.replay.ring import (
    FLAGS,
    LAST_STATE,
    LOW,
    NO_LAST_STATE,
    NOTHING,
    TERMINATED,
    TRUNCATED,
    UNUSABLE,
)
from aitrade_cli.system.compiled import kernel

AHEAD = 2048  # bytes between the record that is written and the lines that are asked for
FURTHER = 32  # rows between the line and link that are written and those asked for
LINE_BYTES, LINK_BYTES = 24, 8
SMALL = 4096  # bytes of a record; larger ones are asked for by the copying itself


@kernel
def differ(states: np.ndarray, column: int, row: int, record: int) -> bool:
    """Whether the parts of a state differ from those in a record."""
    for part in range(len(states)):
        size = states[part, 2]
        if unlike(states[part, column] + row * size, record + states[part, 3], size):
            return True
    return False


@kernel
def goes_on(states: np.ndarray, row: int) -> bool:
    """Whether the next state of a row is the state of the row behind it, bit by bit."""
    for part in range(len(states)):
        size = states[part, 2]
        after, behind = states[part, 1] + row * size, states[part, 0] + (row + 1) * size
        if after != behind and unlike(after, behind, size):
            return False
    return True


@kernel
def ask_for(record: int, length: int, line: int, word: int) -> None:
    """Have what is written further on in the cache: the record, the line, the link."""
    if length <= SMALL:
        for at in range(0, length, CACHE_LINE):
            will_write(record + AHEAD + at)
    will_write(line + FURTHER * LINE_BYTES)
    will_write(word + FURTHER * LINK_BYTES)


@kernel
def put_line(lines: np.ndarray, slot: int, episode: int, step: int, back: int, env: int) -> None:
    """What `ring.COLUMNS` holds, as three words."""
    lines[slot, 0] = episode
    lines[slot, 1] = step | back << 32
    lines[slot, 2] = env


@kernel
def point(words: np.ndarray, slot: int, following: int) -> None:
    """Change where a link leads; its flags stay."""
    words[slot] = (words[slot] & ~LOW) | (following & LOW)


@kernel
def frees(words: np.ndarray, slot: int, total: int) -> int:
    """1 where a row that nobody could draw lies where a new one is about to."""
    return 1 if total >= len(words) and words[slot] >> FLAGS & UNUSABLE else 0


@kernel
def mark_of(marks: tuple[int, int], row: int) -> int:
    ended = TERMINATED if byte_at(marks[0] + row) else 0
    return ended | (TRUNCATED if byte_at(marks[1] + row) else 0)


@kernel
def link_of(slot: int, capacity: int, env: int, mark: int, tells: tuple[bool, bool]) -> int:
    """The word of a row that no other row of the batch follows, its flags included."""
    told, own = tells
    if told:
        following = capacity + 1 + env
    elif own:
        following = slot
    else:
        following = capacity if mark & TERMINATED else NOTHING
        mark |= NO_LAST_STATE if mark else 0
    return (following & LOW) | mark << FLAGS


@kernel
def add_rows(  # noqa: PLR0912, PLR0915
    fields: np.ndarray,
    states: np.ndarray,
    marks: tuple[int, int],
    rewards: tuple[int, int, int],
    rows: tuple[int, int, int],
    tells: tuple[bool, bool],
    records: np.ndarray,
    lines: np.ndarray,
    words: np.ndarray,
    counts: tuple[int, int, int, int, int, int, int],
) -> tuple[int, int, int, int, int, int, int]:
    """Put consecutive rows of one environment into the ring.

    ``fields`` is one line a field: address, bytes of a row, place in the record. ``states``
    has one for each part of the state: address, that of the next state, bytes, place.
    ``marks`` are the addresses of both end marks, ``rewards`` those of the ring's and the
    given ones with the bytes of one. ``rows`` is how many, the environment, and the records
    in memory; ``tells`` whether next states are given, and whether records hold them.
    ``counts`` goes in and comes out: rows ever added, unusable rows, the next episode, and of
    the environment its newest row, episode, step, and whether its next state is known.
    """
    # long because the state of the loop lives in registers; a call for each part would not
    count, env, resident = rows
    total, unusable, fresh, last, episode, step, awaited = counts
    capacity, length = len(words), records.shape[1]
    base = records.ctypes.data
    line_base, word_base = lines.ctypes.data, words.ctypes.data
    spare = base + (resident + 1 + env) * length
    slot, place = total % capacity, total % resident
    over = last >= 0 and awaited != 0 and differ(states, 0, 0, spare)
    for row in range(count + 1):
        if over:
            kept = last % capacity
            linked = words[kept] & LOW == capacity + 1 + env
            if awaited and last >= 0 and last >= total - capacity and linked:
                unusable += 1 - frees(words, slot, total)
                copy_bytes(base + place * length, spare, length)
                put_line(lines, slot, episode, step, total - last, env)
                words[slot] = (NOTHING & LOW) | LAST_STATE << FLAGS
                if last > total - capacity:
                    point(words, kept, slot)
                total += 1
                slot = slot + 1 if slot + 1 < capacity else 0
                place = place + 1 if place + 1 < resident else 0
            last, awaited = -1, 0
        if row == count:
            break
        record = base + place * length
        ask_for(record, length, line_base + slot * LINE_BYTES, word_base + slot * LINK_BYTES)
        for field in range(len(fields)):
            size = fields[field, 1]
            copy_bytes(record + fields[field, 2], fields[field, 0] + row * size, size)
        if rewards[0]:
            size = rewards[2]
            copy_bytes(rewards[0] + slot * size, rewards[1] + row * size, size)
        unusable -= frees(words, slot, total)
        if last < 0:
            episode, step = fresh, 0
            fresh += 1
        elif row == 0 and last > total - capacity and not tells[1]:
            point(words, last % capacity, slot)
        put_line(lines, slot, episode, step, total - last if last >= 0 else 0, env)
        mark = mark_of(marks, row)
        joined = row + 1 < count and mark == 0 and (not tells[0] or goes_on(states, row))
        after = slot + 1 if slot + 1 < capacity else 0
        if joined and not tells[1]:
            words[slot] = after
        else:
            words[slot] = link_of(slot, capacity, env, mark, tells)
        if tells[0] and not joined:
            for part in range(len(states)):
                size = states[part, 2]
                copy_bytes(spare + states[part, 3], states[part, 1] + row * size, size)
        over = mark != 0 or (row + 1 < count and not joined)
        awaited = 1 if tells[0] else 0
        last = total
        total, step, slot = total + 1, step + 1, after
        place = place + 1 if place + 1 < resident else 0
    return total, unusable, fresh, last, episode, step, awaited
