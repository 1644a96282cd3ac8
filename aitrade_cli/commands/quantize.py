"""`aitrade quantize`"""

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


def quantize(
    model: ModelIn,
    int8: Annotated[bool, option("--int8", help="8-bit integers: smaller and faster")] = False,
    int4: Annotated[bool, option("--int4", help="4-bit weights: smallest")] = False,
    fp16: Annotated[bool, option("--fp16", help="float16 weights: half the size")] = False,
    bf16: Annotated[bool, option("--bf16", help="bfloat16 weights: half the size")] = False,
    dynamic: Annotated[bool, option("--dynamic", help="INT8: scales found while running")] = False,
    static: Annotated[bool, option("--static", help="INT8: scales calibrated on bars")] = False,
    calibration: Annotated[
        str, option("--calibration", metavar="METHOD", help="min-max, percentile or entropy")
    ] = "min-max",
    per_tensor: Annotated[
        bool, option("--per-tensor", help="One scale a tensor instead of one a channel")
    ] = False,
    qat: Annotated[
        bool, option("--qat", help="Fine-tune in those bits, also where no budget is missed")
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
) -> None:
    """Builds several candidates, times each in a process of its own, and ships the fastest
    that stays within the budget of flips (1 % of bars unless `--max-flips` says other) on
    bars that precede the ones it is judged on. Layers that hurt are left in float and named.

    The artefact is ONNX and runs wherever ONNX Runtime runs. Without `-o` it goes to
    the current folder under the model's name. A missed `--max-*` exits 1; the artefact
    is still written, its verdict inside. Where `--max-flips` is missed by rounding alone, and
    with `--qat`, weights are fine-tuned on bars that precede all others, if there are any.
    """
    from aitrade_cli.fidelity.budget import parse_budget
    from aitrade_cli.inference.variants import Effort
    from aitrade_cli.market.backtest import Costs
    from aitrade_cli.passes.quantize.pictures import figure_of
    from aitrade_cli.passes.quantize.run import quantize_artefact
    from aitrade_cli.passes.quantize.settings import Settings, bits_of, kinds_of, method_of
    from aitrade_cli.report.plot import check_plot, save_plot

    check_plot(plot)
    bits = bits_of(int8=int8, int4=int4, fp16=fp16, bf16=bf16)
    settings = Settings(
        bits=bits,
        kinds=kinds_of(bits, dynamic=dynamic, static=static),
        calibration=method_of(calibration),
        per_channel=not per_tensor,
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
        qat=qat,
    )
    target = output_name(model, output, f".{settings.bits}.onnx", force=force)
    source = load_input(model, arch=arch, trust_pickle=trust_pickle)
    with progress("quantize", as_json=as_json) as say:
        made = quantize_artefact(source, settings, target, say)
    write_output(target, made.data, force=force)
    if plot:
        save_plot(plot, figure_of(made.report, made.equities))
    emit(made.report, command="quantize", as_json=as_json, artefact=target)
    if not made.report.passed:
        raise typer.Exit(1)
