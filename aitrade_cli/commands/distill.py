"""`aitrade distill`"""

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


def distill(
    model: ModelIn,
    student: Annotated[
        str,
        option("--student", metavar="ARCH", help="mlp, lstm, gru, tcn, transformer or deeplob"),
    ],
    params: Annotated[
        str | None, option("--params", metavar="COUNT", help="Parameters at the most: `50k`")
    ] = None,
    speedup: Annotated[
        str | None, option("--speedup", metavar="TIMES", help="Times as fast at batch 1: `4x`")
    ] = None,
    data: Data = None,
    symbol: Symbol = None,
    output: ModelOut = None,
    temperature: Annotated[
        float, option("--temperature", help="Softens the teacher's answers, above 0")
    ] = 3.0,
    weight: Annotated[
        float, option("--weight", min=0.0, max=1.0, help="The teacher's share of the loss")
    ] = 0.9,
    features: Annotated[
        float, option("--features", min=0.0, help="Weight of the distance between features")
    ] = 0.0,
    epochs: Annotated[int, option("--epochs", min=1, help="Passes over the bars, at most")] = 20,
    patience: Annotated[
        int, option("--patience", min=1, help="Passes without a better validation loss")
    ] = 5,
    run_dir: Annotated[
        Path | None, option("--run-dir", metavar="DIR", help="Keep the state after each pass here")
    ] = None,
    resume: Annotated[bool, option("--resume", help="Go on from the state in `--run-dir`")] = False,
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
    """Asks the model about every training window, trains the student on the answers and the
    labels, and trains the same student once more without the teacher. All three are
    compared on bars that none of them learned from.

    Without `--data` it trains on the bars that the model's history names, if they are here
    and unchanged. A student is another model: it decides otherwise now and then, and the
    report says how often. No bar that judges the result is trained on.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.distill.report import figure_of
    from aitrade_cli.passes.distill.run import distill_artefact
    from aitrade_cli.passes.distill.settings import Settings, count_of, recipe_of, times_of
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    budget = parse_budget(
        max_flips=max_flips,
        max_side_flips=max_side_flips,
        max_sharpe_drop=max_sharpe_drop,
        max_drawdown_rise=max_drawdown_rise,
        max_pnl_drop=max_pnl_drop,
    )
    settings = Settings(
        student=student,
        parameters=count_of(params),
        speedup=times_of(speedup),
        temperature=temperature,
        weight=weight,
        feature_weight=features,
        recipe=recipe_of(epochs, patience, seed),
        data=data,
        symbol=symbol,
        run_dir=run_dir,
        resume=resume,
        force=force,
        budget=budget,
        costs=Costs(fee_bps, slippage_bps),
        effort=Effort(seconds=seconds),
    )
    target = output_name(model, output, f".{student}.pt", force=force)
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    with progress("distill", as_json=as_json) as say:
        made = distill_artefact(source, settings, target, say)
    write_output(target, made.data, force=force)
    if plot:
        save_plot(plot, figure_of(made.report, made.equities))
    emit(made.report, command="distill", as_json=as_json, artefact=target)
    if not made.report.passed:
        raise typer.Exit(1)
