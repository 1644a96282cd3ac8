"""Replay stores side by side on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch

from aitrade_cli import __version__
from aitrade_cli.errors import Usage
from aitrade_cli.replay.bench.data import (
    ADD_ONE,
    ADD_ONE_PRIORITIZED,
    OPERATIONS,
    Contender,
    Experience,
    experience,
)
from aitrade_cli.replay.bench.disk import DISK, on_disk
from aitrade_cli.replay.bench.frames import check_game, pack_game
from aitrade_cli.replay.bench.peers import CONTENDERS, bare_take, ours, version_of
from aitrade_cli.replay.bench.report import AGAIN, OURS, BenchReport, OperationLine, PeerLine
from aitrade_cli.replay.bench.rounds import ratio_of, spread, time_in_turn
from aitrade_cli.system.host import describe_host, load_between, read_cpu_clock

Say = Callable[[str], None]
REPEATS: Final = {ADD_ONE: 20, ADD_ONE_PRIORITIZED: 20}  # calls too short for one clock reading
MISSING: Final = "pip install 'aitrade-cli[bench]' brings it"


def peers_named(text: str) -> tuple[str, ...]:
    """``cpprb,sb3`` -> the libraries to compare with.

    Raises:
        Usage: one is not known.
    """
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in CONTENDERS:
            raise Usage(
                f"no library to compare with is called `{name}`",
                hint=f"`--against` takes {', '.join(CONTENDERS)}",
            )
    return names


def bench(
    against: Sequence[str] = tuple(CONTENDERS),
    *,
    rows: int = 1_000_000,
    features: int = 64,
    batch: int = 256,
    rounds: int = 200,
    games: Sequence[str] = (),
    frames: int = 20_000,
    disk: bool = False,
    seed: int = 0,
    say: Say = lambda _: None,
) -> BenchReport:
    """Fill a store and every library that is installed, and time the same work in turn.

    Everything runs in this process with one thread. A library that is missing is named in
    the report and left out.

    Args:
        against: names out of ``CONTENDERS``.
        rows: transitions in each buffer.
        features: float32 numbers of an observation.
        batch: rows that are drawn and updated.
        rounds: of each operation.
        games: whose frames are packed too; ``synthetic`` needs no emulator.
        frames: of each.
        disk: draw from a store in a temporary folder too.
        seed: of everything that is drawn.
        say: told what is happening.

    Raises:
        Usage: a size that cannot be benched, or a game that is not known.
        NoEmulator: frames of a game, and no emulator.
    """
    if rows < 4 * batch or rounds < 5:
        raise Usage(
            f"`{rows}` rows for batches of `{batch}`, `{rounds}` rounds: that is too little",
            hint="rows are four batches or more, rounds five or more",
        )
    for game in games:
        check_game(game)
    before, start = read_cpu_clock(), time.process_time()
    with one_thread():
        data = experience(rows, features, batch, seed)
        peers, operations = run_operations(against, data, rounds, seed, say)
        if disk:
            say("filling stores on disk")
            with on_disk(data, tuple(against)) as there:
                operations += time_operation(DISK, there, rounds, seed)
        packed = []
        for game in games:
            say(f"packing frames of {game}")
            packed.append(pack_game(game, frames, "sb3" in against, max(10, rounds // 4), seed))
    load = load_between(before, read_cpu_clock(), time.process_time() - start)
    return BenchReport(
        rows=rows,
        features=features,
        batch=batch,
        threads=1,
        peers=tuple(peers),
        operations=tuple(operations),
        frames=tuple(packed),
        host=describe_host(),
        load=load,
    )


def run_operations(
    against: Sequence[str], data: Experience, rounds: int, seed: int, say: Say
) -> tuple[list[PeerLine], list[OperationLine]]:
    say(f"filling our store with {data.rows:,} rows")
    own = ours(data)
    there: list[Contender] = [own, bare_take(data)]
    peers = [PeerLine(OURS, __version__, own.memory_bytes)]
    for name in against:
        version = version_of(name)
        if version is None:
            peers.append(PeerLine(name, None, None, f"not installed; {MISSING}"))
            continue
        say(f"filling {name}")
        made = CONTENDERS[name](data)
        there.append(made)
        peers.append(PeerLine(name, version, made.memory_bytes, made.note))
    lines: list[OperationLine] = []
    for operation in OPERATIONS:
        say(f"timing: {operation}")
        lines += time_operation(operation, there, rounds, seed)
    return peers, lines


def time_operation(
    operation: str, contenders: Sequence[Contender], rounds: int, seed: int
) -> Iterator[OperationLine]:
    """One operation of every library that has it, our own twice."""
    ways = {one.name: one.ways[operation] for one in contenders if operation in one.ways}
    ways[AGAIN] = ways[OURS]
    taken = time_in_turn(
        ways,
        rounds=rounds,
        repeat=REPEATS.get(operation, 1),
        apart=frozenset((OURS, AGAIN)),
        seed=seed,
    )
    for name, calls in taken.items():
        ratio = None if name == OURS else ratio_of(calls, taken[OURS], seed)
        yield OperationLine(operation, name, spread(calls, seed), len(calls), ratio)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread, and put back what it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
