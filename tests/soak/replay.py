"""Kill a writer, a compact, a repair, and damage a store.

Nothing acknowledged is lost, nothing torn is served.

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
from select import select
from typing import Final

import numpy as np

from aitrade_cli.replay.disk.compacting import compact_as
from aitrade_cli.replay.disk.creating import codec_for
from aitrade_cli.replay.disk.damage import VerifyReport
from aitrade_cli.replay.disk.repairing import repair
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.store import ReplayStore
from tests.soak.replay_steps import (
    CAPACITY,
    SCHEMA,
    add,
    copied,
    faults,
    injure,
    served_by,
    whole_store,
)

PATIENCE: Final = 2.0  # seconds
CODECS: Final = ("raw", "lz4", "zstd", "patch", "columns")


def write_for_ever(folder: Path, told: int, seed: int) -> None:
    """Add steps, and tell after each commit how many are safe.

    Packed and synced as the seed says. The index of each step is told to a file beside the
    store, so that it is known which steps were evicted.
    """
    random = Random(seed)
    codec, power_safe = random.choice(CODECS), random.random() < 0.25
    with (
        indices_of(folder).open("wb", buffering=0) as indices,
        ReplayStore(
            folder, CAPACITY, schema=SCHEMA, codec=codec_for(codec), power_safe=power_safe
        ) as store,
    ):
        number = 0
        while True:
            lie = np.zeros(random.choice((1, 7, 100, 700)), np.int64)
            for place in range(len(lie)):
                lie[place] = add(store, number)
                number += 1
            indices.write(lie.tobytes())
            store.commit()
            os.write(told, number.to_bytes(8, "little"))


def indices_of(folder: Path) -> Path:
    return folder.with_name("indices")


def killed(work: Callable[[int], object], after: float, steps: int = 0) -> bytes:
    """What a process told before it was killed, ``after`` seconds from when it told of ``steps``.

    One that tells of no more within `PATIENCE` is not waited for.
    """
    reader, told = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(told)
        finally:
            os._exit(1)
    os.close(told)
    said = b""
    with open(reader, "rb", buffering=0) as pipe:
        while last_of(said) < steps and select([pipe], [], [], PATIENCE)[0]:
            said += (more := pipe.read(4096))
            if not more:
                break
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return said + pipe.readall()


def last_of(said: bytes) -> int:
    """The newest number that was told."""
    whole = len(said) // 8 * 8
    return int.from_bytes(said[whole - 8 : whole], "little") if whole else 0


def kill_while_writing(folder: Path, seed: int, writer: Callable[..., None]) -> int:
    """Steps that a writer told to be safe before it was killed at a random moment.

    One in four is killed while it makes the store; the others have filled it or soon will.
    """
    shutil.rmtree(folder, ignore_errors=True)
    indices_of(folder).unlink(missing_ok=True)
    random = Random(seed)
    young = random.random() < 0.25
    steps = 0 if young else random.randrange(1, 4 * CAPACITY)
    after = random.uniform(0.005, 0.1) if young else random.uniform(0.0, 0.03)
    return last_of(killed(lambda told: writer(folder, told, seed), after, steps))


def still_there(folder: Path, safe: int, total: int) -> set[int]:
    """Steps that were told to be safe and lie among the newest rows; all, if nobody told where."""
    indices = indices_of(folder)
    if not indices.exists():
        return set(range(safe))
    lie = np.fromfile(indices, np.int64)[:safe]
    return set(np.flatnonzero(lie >= total - CAPACITY).tolist())


def judge_kill(folder: Path, safe: int) -> tuple[int, int, bool]:
    """Acknowledged steps that are lost, torn steps that are served, and what `verify` says."""
    if not (folder / "replay.json").exists():
        return safe, 0, True
    report = verify(folder)
    with ReplayStore(folder, mode="r") as store:
        served, torn = faults(store)
        wanted = still_there(folder, safe, store.total)
    with ReplayStore(folder) as store:  # cuts off what was never acknowledged
        again, more = faults(store)
        add(store, 10**6)
    lost = len(wanted - (served & again))
    return lost, torn + more, report.passed and verify(folder).passed


def kills(count: int, seed: int, folder: Path, writer: Callable[..., None]) -> tuple[int, int, int]:
    """Sums over kills: acknowledged steps lost, torn steps served, stores called damaged."""
    lost = torn = wrong = 0
    for number in range(count):
        safe = kill_while_writing(folder / "killed", seed + number, writer)
        found = judge_kill(folder / "killed", safe)
        lost, torn, wrong = lost + found[0], torn + found[1], wrong + (not found[2])
    return lost, torn, wrong


def kills_of_compact(count: int, seed: int, folder: Path) -> list[str]:
    """What went wrong where a compact was killed, and run again."""
    random = Random(seed)
    source = whole_store(folder / "loose")
    with ReplayStore(source, mode="r") as store:
        before, _ = faults(store)
    bad: list[str] = []
    for number in range(count):
        copy, codec = copied(source, folder / "compacted"), random.choice(CODECS)
        after = random.uniform(0.0, 0.2)
        killed(lambda _: compact_as(copy, codec), after)  # noqa: B023
        where = f"compact {number} to {codec} killed after {after:.3f} s"
        for said in ("", " and run again"):
            if said:
                compact_as(copy, codec)
            served, torn = served_by(copy)
            if torn or served != before or not verify(copy).passed:
                bad.append(f"{where}{said}: {torn} torn, {len(before - served)} lost")
    return bad


def kills_of_repair(count: int, seed: int, folder: Path) -> list[str]:
    """What went wrong where a repair was killed, and run again."""
    random = Random(seed)
    source = whole_store(folder / "whole")
    files = sorted((source / "segments").iterdir())
    bad: list[str] = []
    for number in range(count):
        copy = copied(source, folder / "repaired")
        for chosen in random.sample(files, 3):
            injure(copy / chosen.relative_to(source), random)
        before, _ = served_by(copy)
        total = verify(copy).rows_acknowledged
        after = random.uniform(0.0, 0.15)
        killed(lambda _: repair(copy), after)  # noqa: B023
        served, torn = served_by(copy)
        repair(copy)
        again, more = served_by(copy)
        report = verify(copy)
        lost = len(before - served) + len(before - again)
        if torn or more or lost or not report.passed or report.rows_acknowledged != total:
            where = f"repair {number} killed after {after:.3f} s"
            bad.append(f"{where}: {torn + more} torn, {lost} lost, {report.damages}")
    return bad


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
        add(store, 10**6)
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
        copy = copied(source, folder / "copy")
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
        bad = kills_of_compact(asked.kills // 4, asked.seed, Path(place))
        bad += kills_of_repair(asked.kills // 4, asked.seed, Path(place))
        sys.stdout.write(
            f"{asked.kills // 4} kills of compact, {asked.kills // 4} of repair: "
            f"{len(bad)} not treated as they should be\n"
        )
        spoilt = damages(asked.damages, asked.seed, Path(place))
        bad += spoilt
        sys.stdout.writelines(f"{line}\n" for line in bad)
        sys.stdout.write(f"{asked.damages} damages: {len(spoilt)} not treated as they should be\n")
    return 1 if lost or torn or wrong or bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
