"""`aitrade compile`"""

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

ENDINGS = (".onnx", ".pt2", ".pt")


def compile(  # noqa: A001 -- the word of the command
    model: ModelIn,
    backend: Annotated[
        str,
        option(
            "--backend",
            metavar="NAME,…",
            help="inductor, aoti, torchscript, onnxruntime, openvino, tensorrt, xla; else all",
        ),
    ] = "",
    precision: Annotated[
        str, option("--precision", metavar="NAME,…", help="float32, bfloat16; both without it")
    ] = "",
    batch: Annotated[
        str, option("--batch", "-b", metavar="N,…", help="Windows in one call")
    ] = "1,256",
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
    """Every candidate runs in a process of its own beside the model as it is. The fastest
    wins whose outputs hold at every shape, that decides alike on earlier bars, and that is
    slower at no batch; where none is faster beyond noise the model is kept and the exit
    code is 1. A backend that was named is written all the same, with the verdict "no gain".

    What is written opens in a fresh process without compiling again: ONNX, or with
    `--backend aoti` a package of machine code for this processor, which `aitrade bench`
    runs on this host. INT8 is another command: `aitrade quantize`.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.compile.pictures import figure_of
    from aitrade_cli.passes.compile.run import compile_artefact
    from aitrade_cli.passes.compile.settings import CompileSettings, backends_of, precisions_of
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    settings = CompileSettings(
        backends=backends_of(words([backend])),
        precisions=precisions_of(words([precision])),
        batches=tuple(counts(batch, "--batch")),
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
        seed=seed,
    )
    # Which ending it will be is known last, and a taken name is better told first.
    targets = {
        ending: output_name(model, output, f".compiled{ending}", force=force) for ending in ENDINGS
    }
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    with progress("compile", as_json=as_json) as say:
        made = compile_artefact(source, settings, targets.__getitem__, say)
    if made.data is not None:
        write_output(targets[made.ending], made.data, force=force)
    if plot:
        save_plot(plot, figure_of(made.report, made.equities))
    emit(made.report, command="compile", as_json=as_json, artefact=made.report.output)
    if not made.report.passed:
        raise typer.Exit(1)
