"""`aitrade replay sample`"""

from __future__ import annotations

from typing import Annotated

from aitrade_cli.commands.options import Force, Json, Seed, option
from aitrade_cli.commands.replay_options import Memory, Store
from aitrade_cli.pipeline import emit, output_name, write_output


def replay_sample(
    store: Store,
    batch: Annotated[str, option("--batch", "-b", metavar="N,…", help="Rows to draw")] = "256",
    prioritized: Annotated[
        bool,
        option("--prioritized", help="By the priorities that are kept, in proportion or by rank"),
    ] = False,
    n_step: Annotated[int, option("--n-step", min=1, help="Rewards that are summed")] = 1,
    discount: Annotated[
        float, option("--discount", min=0.0, max=1.0, help="Of one step, for `--n-step`")
    ] = 0.99,
    stack: Annotated[
        int, option("--stack", min=0, help="States that `obs` holds, oldest first; 0 for one")
    ] = 0,
    memory: Memory = None,
    output: Annotated[
        str | None, option("--output", "-o", metavar="FILE", help="Where to write .npz, or `-`")
    ] = None,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """The batch is an .npz with every field, `next_obs`, `terminated`, `truncated`, `discount`,
    `indices` and, with `--prioritized`, `weights`. Without `-o` only its shapes are shown.
    Priorities are read, not changed.
    """
    from pathlib import Path

    from aitrade_cli.replay.interchange.exporting import packed, report_of
    from aitrade_cli.replay.sizes import parse_bytes, parse_count
    from aitrade_cli.replay.store import ReplayStore

    rows = parse_count(batch, "--batch")
    limit = None if memory is None else parse_bytes(memory, "--memory")
    target = None if output is None else output_name(store, output, ".npz", force=force)
    sampler = None
    if prioritized:
        from aitrade_cli.replay.disk.keeping import prioritized as sampler_of

        sampler = sampler_of(Path(store))
    with ReplayStore(
        Path(store), memory=limit, sampler=sampler, mode="r", seed=seed, prefetch=0
    ) as opened:
        drawn = opened.sample(rows, n_step=n_step, discount=discount, window=stack)
        data = None if target is None else packed(drawn)
        if target is not None and data is not None:
            write_output(target, data, force=force)
        size = None if data is None else len(data)
        report = report_of(opened, drawn, seed, target, size)
    emit(report, command="replay sample", as_json=as_json, artefact=target)
