"""Steps whose every number is known, stores of them, and ways to spoil a file."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

WIDTH: Final = 16
SCHEMA: Final = Schema(
    (Field("obs", "float32", (WIDTH,)), Field("act", "int64"), Field("reward", "float32"))
)
CAPACITY: Final = 3000  # a killed writer has filled it some times over
EPISODE: Final = 50
PAGE: Final = 4096


def state(number: int) -> np.ndarray:
    """The state that step ``number`` begins in; no two are alike."""
    return np.arange(number * 31, number * 31 + WIDTH).astype(np.float32)


def add(store: ReplayStore, number: int) -> int:
    end = number % EPISODE == EPISODE - 1
    return store.add(
        state(number),
        number,
        float(number % 1000),
        state(number + 1),
        terminated=end and number % (2 * EPISODE) == EPISODE - 1,
        truncated=end and number % (2 * EPISODE) != EPISODE - 1,
    )


def faults(store: ReplayStore) -> tuple[set[int], int]:
    """Numbers of the steps that are served, and how many of them are not as they were added."""
    every = np.arange(store.first, store.total)
    index = every[store.sampleable(every)]
    if not len(index):
        return set(), 0
    batch = store.rows(index)
    numbers = np.asarray(batch["act"])
    now = numbers[:, None] * 31 + np.arange(WIDTH)
    after = now + 31
    ends = numbers % EPISODE == EPISODE - 1
    first = numbers % (2 * EPISODE) == EPISODE - 1
    wrong = (np.asarray(batch["obs"]) != now.astype(np.float32)).any(axis=1)
    wrong |= (np.asarray(batch["next_obs"]) != after.astype(np.float32)).any(axis=1)
    wrong |= np.asarray(batch["reward"]) != (numbers % 1000).astype(np.float32)
    wrong |= np.asarray(batch["terminated"]) != (ends & first)
    wrong |= np.asarray(batch["truncated"]) != (ends & ~first)
    return set(numbers.tolist()), int(np.count_nonzero(wrong))


def copied(source: Path, copy: Path) -> Path:
    shutil.rmtree(copy, ignore_errors=True)
    return Path(shutil.copytree(source, copy))


def served_by(folder: Path) -> tuple[set[int], int]:
    with ReplayStore(folder, mode="r") as store:
        return faults(store)


def whole_store(folder: Path) -> Path:
    """A store of some segments, closed as it should be."""
    with ReplayStore(folder, 6000, schema=SCHEMA) as store:
        for number in range(5000):
            add(store, number)
            if number % 700 == 0:
                store.commit()
    return folder


def injure(path: Path, random: Random) -> str:
    """Change one file in one place; how."""
    data = bytearray(path.read_bytes())
    at = random.randrange(len(data))
    kind = random.choice(("flip", "zero page", "truncate", "garbage", "cut out"))
    if kind == "flip":
        data[at] ^= 1 << random.randrange(8)
    elif kind == "zero page":
        page = at // PAGE * PAGE
        length = len(data[page : page + PAGE])
        data[page : page + length] = bytes(length)
    elif kind == "truncate":
        del data[at:]
    elif kind == "garbage":
        data[at : at + 200] = random.randbytes(len(data[at : at + 200]))
    else:
        del data[at : at + random.randrange(1, 3000)]
    path.write_bytes(bytes(data))
    return f"{kind} at {at} of {path.name}"
