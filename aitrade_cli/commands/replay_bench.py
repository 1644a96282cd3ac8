"""`aitrade replay bench`"""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import Json, Plot, Seed, option
from aitrade_cli.pipeline import emit, progress


def replay_bench(
    against: Annotated[
        str, option("--against", metavar="NAMES", help="Libraries, comma-separated; empty for none")
    ] = "cpprb,torchrl,sb3",
    rows: Annotated[str, option("--rows", metavar="N", help="Transitions in each buffer")] = "1M",
    obs_size: Annotated[
        int, option("--obs-size", min=1, max=100_000, help="float32 numbers of an observation")
    ] = 64,
    batch: Annotated[
        str, option("--batch", "-b", metavar="N,…", help="Rows that are drawn and updated at once")
    ] = "256",
    rounds: Annotated[
        int, option("--rounds", min=5, help="Times that each operation is measured")
    ] = 200,
    frames: Annotated[
        str, option("--frames", metavar="GAMES", help="Pack frames too: synthetic, pong, …")
    ] = "",
    disk: Annotated[
        bool, option("--disk", help="Draw from a store in a temporary folder too")
    ] = False,
    plot: Plot = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fills a store in memory and every library that is installed with the same rows, and
    times the same operations in turn, in one process with one thread. Our own store is timed
    twice: how far the second ratio is from 1 is the noise.

    A library that is missing is named and left out; so is what a library cannot do here.
    `--disk` fills a store in TMPDIR, whose pages stay in memory, beside one in memory and
    torchrl's memmap. `--frames` packs frames of random play (ale-py for games of the Atari)
    and draws stacks of them. A million rows take three gigabytes and two minutes,
    `--rows 50k` a few seconds.
    """
    from aitrade_cli.replay.bench.compare import bench, peers_named
    from aitrade_cli.replay.bench.report import figure_of
    from aitrade_cli.replay.sizes import parse_count
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    names = peers_named(against)
    games = tuple(name.strip().lower() for name in frames.split(",") if name.strip())
    wanted, drawn = parse_count(rows, "--rows"), parse_count(batch, "--batch")
    with progress("replay bench", as_json=as_json) as say:
        report = bench(
            names,
            rows=wanted,
            features=obs_size,
            batch=drawn,
            rounds=rounds,
            games=games,
            disk=disk,
            seed=seed,
            say=say,
        )
    if plot:
        save_plot(plot, figure_of(report))
    emit(report, command="replay bench", as_json=as_json)
