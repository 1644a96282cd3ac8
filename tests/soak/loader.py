"""Feed the loader spoiled files: no traceback, no hang, no memory blow-up, nothing runs.

    python -m tests.soak.loader --count 10000 --seed 1 [--only 4711]

Every file follows from the seed and its number alone. One that fails is kept in
`build/soak/` with its number in the name.
"""

from __future__ import annotations

import argparse
import io
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Final

from aitrade_cli.errors import AitradeError
from aitrade_cli.model.artefact import Artefact, Exported, TorchWeights, dump
from aitrade_cli.model.inspection import inspect_artefact
from aitrade_cli.model.loading import load
from aitrade_cli.model.loading.script import shared_probe
from aitrade_cli.model.network import build
from aitrade_cli.report.blocks import view
from aitrade_cli.report.draw import draw
from aitrade_cli.report.ndjson import write
from tests.soak.mutate import Mutator
from tests.soak.seeds import Seed, seeds

SECONDS_PER_FILE: Final = 60  # generous: the machine may be busy
SPARE_BYTES: Final = 2 << 30  # a file of some kilobytes may never need more
KEPT: Final = Path("build/soak")
ARCHES: Final = (None, "tests.hostile:small", "lstm")
OPENED_ONE_IN: Final = 8  # exported programs that are also handed to torch, which is slow


class Hang(Exception):
    """One file took longer than any file may."""


@dataclass(slots=True)
class Tally:
    """What became of the files."""

    files: int = 0
    loaded: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    executions: int = 0
    slowest_s: float = 0.0


def run(count: int, seed: int, folder: Path, only: int | None = None) -> Tally:
    """Spoil and load ``count`` files.

    Args:
        count: files.
        seed: the same gives the same files.
        folder: an empty one, where the mark would be made.
        only: this one file alone.
    """
    mark = folder / "mark"
    (folder / "weights.bin").write_bytes(bytes(36))
    started = seeds(mark)
    tally = Tally()
    with shared_probe(), little_memory(), warnings.catch_warnings():
        warnings.simplefilter("error")
        for number in range(count) if only is None else [only]:
            try_one(number, seed, started, folder, tally)
    return tally


def try_one(number: int, seed: int, started: Sequence[Seed], folder: Path, tally: Tally) -> None:
    random = Random(f"{seed}:{number}")
    origin = started[number % len(started)]
    mutator = Mutator(random, tuple(item.data for item in started), folder / "mark")
    data = mutator.spoil(origin.data)
    begin = time.monotonic()
    try:
        with at_most(SECONDS_PER_FILE):
            use(load(data, arch=random.choice(ARCHES), folder=folder), data, random)
        tally.loaded[origin.kind] += 1
    except AitradeError as error:
        tally.told[error.name] += 1
    except BaseException as error:  # exactly what must not happen, whatever it is
        if isinstance(error, KeyboardInterrupt):
            raise
        tally.failures.append(f"{number} ({origin.kind}): {traceback.format_exc()}")
        keep(data, f"{seed}-{number}.bin")
    tally.files += 1
    tally.slowest_s = max(tally.slowest_s, time.monotonic() - begin)
    if (folder / "mark").exists():
        tally.executions += 1
        keep(data, f"{seed}-{number}-ran.bin")
        (folder / "mark").rmdir()


def use(artefact: Artefact, data: bytes, random: Random) -> None:
    """What any command does next: show it, write it again, read that, build the network."""
    report = inspect_artefact(artefact, data)
    draw(view(report), io.StringIO())
    write(io.StringIO(), "inspect", "report", report)
    again = load(dump(artefact))
    if isinstance(artefact.network, TorchWeights):
        build(artefact)
    elif isinstance(artefact.network, Exported) and random.randrange(OPENED_ONE_IN) == 0:
        build(again)


def keep(data: bytes, name: str) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / name).write_bytes(data)


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise Hang(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def little_memory() -> Iterator[None]:
    """A ceiling on the process, so that a blow-up is an error here and not a swapping machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    statm = Path("/proc/self/statm")
    if statm.exists():
        used = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def told(tally: Tally) -> str:
    """The counts, for a person."""
    return (
        f"{tally.files:,} files, slowest {tally.slowest_s:.1f} s\n"
        f"loaded {tally.loaded.total():,}: {counted(tally.loaded)}\n"
        f"told {tally.told.total():,}: {counted(tally.told)}\n"
        f"{len(tally.failures)} tracebacks, {tally.executions} executions\n"
    )


def counted(counter: Counter[str]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counter.most_common())


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the number of one file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        tally = run(options.count, options.seed, Path(folder), options.only)
    sys.stdout.write(told(tally))
    sys.stderr.writelines(f"{failure}\n" for failure in tally.failures[:20])
    return 1 if tally.failures or tally.executions else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
