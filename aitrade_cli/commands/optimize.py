"""`aitrade optimize`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aitrade_cli.commands.budgets import (
    FeeBps,
    MaxDrawdownRise,
    MaxFlips,
    MaxPnlDrop,
    MaxSharpeDrop,
    MaxSideFlips,
    SlippageBps,
)
from aitrade_cli.commands.lists import counts
from aitrade_cli.commands.options import (
    ArchFactory,
    Data,
    Force,
    Json,
    ModelIn,
    ModelOut,
    Plot,
    Seed,
    Symbol,
    TimedSeconds,
    TrustPickle,
    option,
)
from aitrade_cli.pipeline import emit, load_input, output_name, progress, write_output


def optimize(
    model: ModelIn,
    minimize: Annotated[
        str, option("--minimize", metavar="WHAT", help="latency at batch 1, or size")
    ] = "latency",
    budget: Annotated[
        str, option("--budget", metavar="TIME", help="How long to search: `90s`, `10m`, `2h`")
    ] = "10m",
    trials: Annotated[
        int | None, option("--trials", min=1, help="Networks to try at most, over all runs")
    ] = None,
    threads: Annotated[
        str, option("--threads", metavar="LIST", help="Thread counts to try: `1` or `1,2`")
    ] = "1",
    study: Annotated[
        str | None,
        option("--study", metavar="DIR", help="Where the search is remembered; derived without"),
    ] = None,
    pick: Annotated[
        int | None, option("--pick", min=1, help="Write this point of the last search's front")
    ] = None,
    graph_only: Annotated[
        bool, option("--graph-only", help="Rewrite the graph; same weights, nothing is searched")
    ] = False,
    data: Data = None,
    symbol: Symbol = None,
    output: ModelOut = None,
    max_flips: MaxFlips = None,
    max_side_flips: MaxSideFlips = None,
    max_sharpe_drop: MaxSharpeDrop = None,
    max_drawdown_rise: MaxDrawdownRise = None,
    max_pnl_drop: MaxPnlDrop = None,
    fee_bps: FeeBps = 0.5,
    slippage_bps: SlippageBps = 0.5,
    arch: ArchFactory = None,
    trust_pickle: TrustPickle = None,
    plot: Plot = None,
    seconds: TimedSeconds = 1.5,
    seed: Seed = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:  # long because Typer takes one parameter an option, and each is handed on once
    """Cuts and teaches smaller networks, stores each in several number formats, times them in
    the runtimes found here, and ships the fastest (or smallest) that is expected to stay
    within the budget of flips (1 % of bars unless `--max-flips` says other).

    Ctrl-C loses nothing: the same command goes on from where it was. Bars that judge the
    result are seen once, at the end. Where the oldest steps of the window change no decision,
    they are not computed. Networks are taught on `--data`, else on the bars
    that the artefact remembers, where they are found and unchanged.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.optimize.settings import (
        Settings,
        minimize_of,
        refuse_unused,
        seconds_of,
        study_folder,
    )

    if graph_only:
        refuse_unused({"--pick": pick, "--study": study, "--trials": trials})

    settings = Settings(
        data=data,
        symbol=symbol,
        budget=parse_budget(
            max_flips=max_flips,
            max_side_flips=max_side_flips,
            max_sharpe_drop=max_sharpe_drop,
            max_drawdown_rise=max_drawdown_rise,
            max_pnl_drop=max_pnl_drop,
        ),
        costs=Costs(fee_bps, slippage_bps),
        effort=Effort(seconds=seconds),
        minimize=minimize_of(minimize),
        seconds=seconds_of(budget),
        trials=trials,
        threads=tuple(counts(threads, "--threads")),
        seed=seed,
    )
    suffix = ".graph.onnx" if graph_only else ".optimized.onnx"
    target = output_name(model, output, suffix, force=force)
    from aitrade_cli.passes.optimize.graph_only import rewrite_graph
    from aitrade_cli.passes.optimize.run import optimize_artefact
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    folder = Path(study) if study else study_folder(source.name, source.sha256)
    with progress("optimize", as_json=as_json) as say:
        if graph_only:
            made = rewrite_graph(source, settings, target, say)
        else:
            made = optimize_artefact(source, settings, target, folder, pick, say)
    write_output(target, made.data, force=force)
    if plot:
        save_plot(plot, made.figure())
    emit(made.report, command="optimize", as_json=as_json, artefact=target)
    if not made.report.passed:
        raise typer.Exit(1)
