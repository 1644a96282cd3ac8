"""Work that the checks of `tune-system` time in processes of their own.

`python -m aitrade_cli.checks.tune_work WORK SECONDS [GROUP...]` prints one JSON object. It joins
the control groups when its libraries are loaded, so that a quota holds for the work alone.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

FLOATS: Final = 8_500_000  # 34 MB: beyond the 32 MiB up to which glibc learns to keep memory
PRODUCTS: Final = 100  # a call
# A batch of 64 through one layer of a small network. OpenBLAS shares a product among threads
# from about 2**18 multiplications on, MKL earlier.
SHAPES: Final = {"numpy-products": (64, 64, 256), "torch-products": (64, 64, 64)}
WARM_CALLS: Final = 12  # the heap takes about ten to grow to its size and stay there
WARM_SECONDS: Final = 0.2  # two periods of the quota, so that no call runs on saved time


def plain_temporaries() -> Callable[[], None]:
    """Two buffers that nobody keeps, straight from malloc."""

    def call() -> None:
        left = bytearray(4 * FLOATS)
        _ = left + b""

    return call


def torch_temporaries() -> Callable[[], None]:
    """Three tensors that nobody keeps, as a step on large features makes them."""
    import torch

    def call() -> None:
        left = torch.empty(FLOATS).fill_(1.0)
        right = left + 1.0
        _ = left * right

    return call


def numpy_products() -> Callable[[], None]:
    import numpy as np

    batch, before, after = SHAPES["numpy-products"]
    left, right = np.ones((batch, before), np.float32), np.ones((before, after), np.float32)

    def call() -> None:
        for _ in range(PRODUCTS):
            _ = left @ right

    return call


def torch_products() -> Callable[[], None]:
    import torch

    batch, before, after = SHAPES["torch-products"]
    left, right = torch.ones(batch, before), torch.ones(before, after)

    def call() -> None:
        for _ in range(PRODUCTS):
            _ = left @ right

    return call


WORK: Final[dict[str, Callable[[], Callable[[], None]]]] = {
    "plain-temporaries": plain_temporaries,
    "torch-temporaries": torch_temporaries,
    "numpy-products": numpy_products,
    "torch-products": torch_products,
}


def main(words: list[str]) -> None:
    kind, seconds, *groups = words
    call = WORK[kind]()
    for group in groups:
        (Path(group) / "cgroup.procs").write_text("0", encoding="ascii")
    started, calls = time.perf_counter(), 0
    while calls < WARM_CALLS or time.perf_counter() - started < WARM_SECONDS:
        call()
        calls += 1
    before = resource.getrusage(resource.RUSAGE_SELF)
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < float(seconds):
        call()
        calls += 1
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = {
        "wall_seconds": wall / calls,
        "cpu_seconds": cpu / calls,
        "faults": (after.ru_minflt - before.ru_minflt) / calls,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
