"""Kill a writer, and damage a store: nothing acknowledged is lost, nothing torn is served.

python -m tests.soak.replay --kills 200 --damages 500 --seed 1
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Final

import numpy as np

from aitrade_cli.replay.disk.damage import VerifyReport
from aitrade_cli.replay.disk.repairing import repair
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

WIDTH: Final = 16
SCHEMA: Final = Schema(
    (Field("obs", "float32", (WIDTH,)), Field("act", "int64"), Field("reward", "float32"))
)
CAPACITY: Final = 200_000
EPISODE: Final = 50
PAGE: Final = 4096


def state(number: int) -> np.ndarray:
    """The state that step ``number`` begins in; no two are alike."""
    return np.arange(number * 31, number * 31 + WIDTH).astype(np.float32)


def add(store: ReplayStore, number: int) -> None:
    end = number % EPISODE == EPISODE - 1
    store.add(
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


def write_for_ever(folder: Path, told: int, seed: int) -> None:
    """Add steps, and tell after each commit how many are safe."""
    random = Random(seed)
    with ReplayStore(folder, CAPACITY, schema=SCHEMA) as store:
        number = 0
        while True:
            for _ in range(random.choice((1, 7, 100, 1500))):
                add(store, number)
                number += 1
            store.commit()
            os.write(told, number.to_bytes(8, "little"))


def kill_while_writing(folder: Path, seed: int, writer: Callable[..., None]) -> int:
    """Steps that a writer told to be safe before it was killed at a random moment."""
    shutil.rmtree(folder, ignore_errors=True)
    reader, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            writer(folder, told, seed)
        finally:
            os._exit(1)
    os.close(told)
    time.sleep(Random(seed).uniform(0.005, 0.25))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    whole = len(said) // 8 * 8
    return int.from_bytes(said[whole - 8 : whole], "little") if whole else 0


def judge_kill(folder: Path, safe: int) -> tuple[int, int, bool]:
    """Acknowledged steps that are lost, torn steps that are served, and what `verify` says."""
    if not (folder / "replay.json").exists():
        return safe, 0, True
    report = verify(folder)
    with ReplayStore(folder, mode="r") as store:
        served, torn = faults(store)
    with ReplayStore(folder) as store:  # cuts off what was never acknowledged
        again, more = faults(store)
        add(store, 10 * CAPACITY)
    lost = len(set(range(safe)) - (served & again))
    return lost, torn + more, report.passed and verify(folder).passed


def kills(count: int, seed: int, folder: Path, writer: Callable[..., None]) -> tuple[int, int, int]:
    """Sums over kills: acknowledged steps lost, torn steps served, stores called damaged."""
    lost = torn = wrong = 0
    for number in range(count):
        safe = kill_while_writing(folder / "killed", seed + number, writer)
        found = judge_kill(folder / "killed", safe)
        lost, torn, wrong = lost + found[0], torn + found[1], wrong + (not found[2])
    return lost, torn, wrong


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


def judge_damage(folder: Path, before: set[int]) -> list[str]:
    """What is wrong with how a damaged store is treated; nothing, if all is well."""
    report = verify(folder)
    said = [] if report.damages else ["not named"]
    with ReplayStore(folder, mode="r") as store:
        served, torn = faults(store)
        numbers = {int(row): int(row) for row in served}
    if torn:
        said.append(f"{torn} torn steps served")
    lost = len(before - set(numbers))
    # A lost row costs the step before it too, whose next state it was.
    if lost > 2 * report.rows_lost + 2 * len(report.damages):
        said.append(f"{lost} steps lost, {report.rows_lost} rows named")
    said += judge_repair(folder, served, report)
    return said


def judge_repair(folder: Path, served: set[int], report: VerifyReport) -> list[str]:
    repair(folder)
    after = verify(folder)
    said = [] if after.passed else ["damaged after repair"]
    if after.rows_acknowledged != report.rows_acknowledged:
        said.append("another number of rows after repair")
    with ReplayStore(folder) as store:
        again, torn = faults(store)
        add(store, 10 * CAPACITY)
    if torn or served - again:
        said.append(f"after repair {torn} torn, {len(served - again)} gone")
    return said if verify(folder).passed else [*said, "damaged after going on"]


def damages(count: int, seed: int, folder: Path) -> list[str]:
    """Damages that were not treated as they should be."""
    random = Random(seed)
    source = whole_store(folder / "whole")
    with ReplayStore(source, mode="r") as store:
        before, _ = faults(store)
    (source / "lock").unlink()
    files = sorted(path for path in source.rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    bad: list[str] = []
    for _ in range(count):
        copy = folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(source, copy)
        # mostly where most bytes are, but the small files have their turn
        chosen = random.choice((random.choice(files), *random.choices(files, sizes)))
        target = copy / chosen.relative_to(source)
        how = injure(target, random)
        if target.read_bytes() == chosen.read_bytes():
            continue  # zeros over zeros
        bad += [f"{how}: {said}" for said in judge_damage(copy, before)]
    return bad


def main(words: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as place:
        lost, torn, wrong = kills(asked.kills, asked.seed, Path(place), write_for_ever)
        sys.stdout.write(
            f"{asked.kills} kills: {lost} acknowledged steps lost, {torn} torn steps served, "
            f"{wrong} stores called damaged\n"
        )
        bad = damages(asked.damages, asked.seed, Path(place))
        sys.stdout.writelines(f"{line}\n" for line in bad)
        sys.stdout.write(f"{asked.damages} damages: {len(bad)} not treated as they should be\n")
    return 1 if lost or torn or wrong or bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
