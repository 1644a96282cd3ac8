"""`aitrade prune`"""

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


def prune(
    model: ModelIn,
    structured: Annotated[
        float | None,
        option("--structured", metavar="SHARE", help="Remove this share of the units: faster"),
    ] = None,
    sparsity: Annotated[
        float | None,
        option("--sparsity", metavar="SHARE", help="Set this share of the weights to zero"),
    ] = None,
    pattern: Annotated[
        str | None, option("--pattern", metavar="N:M", help="Keep N of each M weights: `2:4`")
    ] = None,
    per_layer: Annotated[
        bool, option("--per-layer", help="The same sparsity in each layer, not overall")
    ] = False,
    finetune: Annotated[
        bool, option("--finetune", help="Train towards the dense parent between rounds")
    ] = False,
    schedule: Annotated[
        str, option("--schedule", metavar="NAME", help="once, or cubic: grow while training")
    ] = "once",
    rounds: Annotated[
        int, option("--rounds", min=1, max=20, help="Prune and train in so many steps")
    ] = 3,
    epochs: Annotated[
        int, option("--epochs", min=1, max=1000, help="Passes over the bars after the last cut")
    ] = 12,
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
) -> None:
    """`--structured` makes a narrower network: fewer parameters, faster on any machine. Units
    are ranked on bars before those it is judged on, and trained again with `--finetune`, which
    needs the bars: `--data`, else those that the history names.

    `--sparsity` and `--pattern` set single weights to zero. Zeros are stored and multiplied
    like any number, so a CPU gains nothing from them; the report says so and the exit code is 0.

    Takes torch weights; prune before exporting. A missed `--max-*` exits 1; the artefact is
    still written, its verdict inside.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.prune.pictures import figure_of
    from aitrade_cli.passes.prune.run import prune_artefact
    from aitrade_cli.passes.prune.settings import settings_of
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    budget = parse_budget(
        max_flips=max_flips,
        max_side_flips=max_side_flips,
        max_sharpe_drop=max_sharpe_drop,
        max_drawdown_rise=max_drawdown_rise,
        max_pnl_drop=max_pnl_drop,
    )
    settings = settings_of(
        structured,
        sparsity,
        pattern,
        schedule=schedule,
        per_layer=per_layer,
        finetune=finetune,
        **{"rounds": rounds, "epochs": epochs, "data": data, "symbol": symbol, "seed": seed},
        **{"budget": budget, "costs": Costs(fee_bps, slippage_bps)},
        **{"effort": Effort(seconds=seconds)},
    )
    target = output_name(model, output, ".pruned.pt", force=force)
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    with progress("prune", as_json=as_json) as say:
        made = prune_artefact(source, settings, target, say)
    write_output(target, made.data, force=force)
    if plot:
        save_plot(plot, figure_of(made.report, made.equities))
    emit(made.report, command="prune", as_json=as_json, artefact=target)
    if not made.report.passed:
        raise typer.Exit(1)
