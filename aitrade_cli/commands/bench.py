"""`aitrade bench`"""

from __future__ import annotations

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
from aitrade_cli.commands.lists import counts, words
from aitrade_cli.commands.options import (
    ArchFactory,
    Data,
    Json,
    ModelsIn,
    Plot,
    Seed,
    Symbol,
    TrustPickle,
    option,
)
from aitrade_cli.errors import Usage
from aitrade_cli.pipeline import emit, load_input, progress


def bench(
    models: ModelsIn,
    batch: Annotated[str, option("--batch", "-b", metavar="N,…", help="Windows in one call")] = "1",
    threads: Annotated[
        str, option("--threads", "-t", metavar="N,…", help="Threads of the runtime's pool")
    ] = "1",
    runtime: Annotated[
        str,
        option("--runtime", metavar="NAME,…", help="auto, eager, compile, onnxruntime, openvino"),
    ] = "",
    seconds: Annotated[
        float | None,
        option("--seconds", min=0.01, help="Of measured calls for each variant and batch size"),
    ] = None,
    runs: Annotated[
        int | None, option("--runs", min=1, help="Calls instead of seconds; p99.9 needs 10,000")
    ] = None,
    length: Annotated[
        int | None, option("--length", min=1, help="Rows in a window; the model's own without it")
    ] = None,
    equivalence: Annotated[
        bool, option("--equivalence", help="Also judge whether the second trades as the first")
    ] = False,
    data: Data = None,
    symbol: Symbol = None,
    max_flips: MaxFlips = None,
    max_side_flips: MaxSideFlips = None,
    max_sharpe_drop: MaxSharpeDrop = None,
    max_drawdown_rise: MaxDrawdownRise = None,
    max_pnl_drop: MaxPnlDrop = None,
    fee_bps: FeeBps = 0.5,
    slippage_bps: SlippageBps = 0.5,
    plot: Plot = None,
    seed: Seed = 0,
    arch: ArchFactory = None,
    trust_pickle: TrustPickle = None,
    trust_native: Annotated[
        str | None,
        option("--trust-native", metavar="SHA256", help="Run the machine code of this `.pt2`"),
    ] = None,
    as_json: Json = False,
) -> None:  # long because Typer takes one parameter an option, and each is handed on once
    """Every variant runs in a process of its own, in rounds of one turn each; a second
    process of the first variant shows how much of a difference is noise. Torch models run
    in eager and, exported, in ONNX Runtime; `compile` joins by itself where it compiles
    twice at most.

    Close other programs first: a loaded host changes winners, and the report says so.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.bench import bench as bench_models
    from aitrade_cli.inference.bench_view import figure_of
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.compare import compare
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    budget = parse_budget(
        max_flips=max_flips,
        max_side_flips=max_side_flips,
        max_sharpe_drop=max_sharpe_drop,
        max_drawdown_rise=max_drawdown_rise,
        max_pnl_drop=max_pnl_drop,
    )
    costs = Costs(fee_bps, slippage_bps)
    batches, pools = counts(batch, "--batch"), counts(threads, "--threads")
    check_equivalence(models, data, equivalence=equivalence)
    effort = None if seconds is None and runs is None else Effort(seconds=seconds or 1.5, runs=runs)
    with progress("bench", as_json=as_json) as say:
        artefacts = [
            load_input(one, arch=arch, trust_pickle=trust_pickle, trust_native=trust_native)
            for one in models
        ]
        report = bench_models(
            artefacts,
            batches=batches,
            threads=pools,
            runtimes=words([runtime]),
            effort=effort,
            length=length,
            seed=seed,
            say=say,
        )
        judged = None
        if equivalence:
            say("judging the second against the first")
            judged = compare(
                artefacts[0],
                artefacts[1],
                report,
                data=data,
                symbol=symbol,
                budget=budget,
                costs=costs,
                seed=seed,
            )
    if plot:
        save_plot(plot, figure_of(report))
    emit(report, command="bench", as_json=as_json)
    if judged is not None:
        emit(judged, command="bench", as_json=as_json)
        if not judged.passed:
            raise typer.Exit(1)


def check_equivalence(models: list[str], data: str | None, *, equivalence: bool) -> None:
    if equivalence and len(models) != 2:
        raise Usage(f"`--equivalence` compares two models, not {len(models)}")
    if data is not None and not equivalence:
        raise Usage("`--data` goes with `--equivalence`; inputs come from the bars inside")
