"""Proof of R1: a store that is larger than the memory it may use serves a learner as fast."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from aitrade_cli.checks.result import Bound, CheckResult, Measured
from aitrade_cli.replay.batch import Batch
from aitrade_cli.replay.disk.verifying import verify
from aitrade_cli.replay.schema import Field, Schema
from aitrade_cli.replay.store import ReplayStore

WIDTH = 64
BATCH = 256
SHARE_IN_MEMORY = 0.1
LEARNER_SECONDS = 0.010
WINDOW_BARS, WINDOW_FEATURES = 64, 20
CONDITIONS = (
    f"batch {BATCH} of {WIDTH} float32 and what followed, learner steps of "
    f"{LEARNER_SECONDS * 1e3:.0f} ms, {SHARE_IN_MEMORY:.0%} of the records in memory, pages of the "
    "segments dropped from the page cache before every batch, prefetch on; rounds interleaved"
)


def store_beyond_memory(quick: bool) -> CheckResult:
    """Batches from a disk store with a tenth of its rows in memory cost a learner no time."""
    rows, rounds = (100_000, 40) if quick else (1_000_000, 200)
    schema = Schema(
        (Field("obs", "float32", (WIDTH,)), Field("act", "int64"), Field("reward", "float32"))
    )
    with tempfile.TemporaryDirectory(prefix="aitrade-check-") as place:
        folder = Path(place) / "store"
        near = ReplayStore(schema, rows, seed=1)
        limit = int(rows * SHARE_IN_MEMORY) * schema.record_bytes
        with ReplayStore(folder, rows, schema=schema, memory=limit, seed=1) as far:
            fill(near, far, rows)
            seconds = race(near, far, folder, rounds)
            wrong = differences(near, far)
            resident = far.ring.resident * schema.record_bytes
        damages = len(verify(folder).damages)
    speed = seconds[0] / seconds[1]
    return CheckResult(
        Measured(speedup=speed, memory_saved=1.0 - resident / (rows * schema.record_bytes)),
        (
            Bound("learner rate of memory's", speed, 0.85, "at_least", "times"),
            Bound("values that differ from memory's", wrong, 0, "at_most", "values"),
            Bound("damages that verify names", damages, 0, "at_most", "places"),
            Bound("market windows in memory", window_share(), 0.02, "at_most", "of materialised"),
        ),
        f"{rows:,} rows: {CONDITIONS}",
    )


def fill(near: ReplayStore, far: ReplayStore, rows: int) -> None:
    """The same walk of one environment into both."""
    rng = np.random.default_rng(0)
    piece = 1000
    state = rng.normal(size=(piece + 1, WIDTH)).astype(np.float32)
    for start in range(0, rows - piece, piece):
        state[0] = state[-1]
        state[1:] = rng.normal(size=(piece, WIDTH))
        step = {
            "obs": state[:-1],
            "act": np.arange(start, start + piece),
            "reward": state[:-1, 0],
            "next_obs": state[1:],
        }
        near.add_batch(env=0, **step)
        far.add_batch(env=0, **step)
    far.commit()


def race(near: ReplayStore, far: ReplayStore, folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of a learner step with either store."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for store, kept in zip((near, far), times, strict=True):
            drop_pages(folder)
            start = time.perf_counter()
            store.sample(BATCH)
            time.sleep(LEARNER_SECONDS)
            kept.append(time.perf_counter() - start)
    return median(times[0]), median(times[1])


def drop_pages(folder: Path) -> None:
    """Ask the kernel to forget what it read of the segments, so that the disk is read."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in (folder / "segments").iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fdatasync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def differences(near: ReplayStore, far: ReplayStore) -> int:
    """Values of the same steps that are not the same from disk as from memory."""
    served = far.sample(4 * BATCH)
    # The steps are numbered; a commit gives rows of the one store numbers of their own.
    steps = np.asarray(served["act"])
    kept = near.rows(steps)
    return sum(unlike(served, kept, name) for name in kept)


def unlike(one: Batch, other: Batch, name: str) -> int:
    return int(np.count_nonzero(np.asarray(one[name]) != np.asarray(other[name])))


def window_share() -> float:
    """Memory for windows of bars kept as rows, of the same windows kept one by one."""
    bar = Schema(
        (
            Field("obs", "float32", (WINDOW_FEATURES,)),
            Field("act", "int64"),
            Field("reward", "float32"),
        )
    )
    rows = 100_000
    kept = ReplayStore(bar, rows).ring.bytes
    state = WINDOW_BARS * WINDOW_FEATURES * 4
    return kept / (rows * (2 * state + 8 + 4 + 1))
