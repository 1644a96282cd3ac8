"""`aitrade train`"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aitrade_cli.commands.options import Force, Json, ModelOut, Plot, Symbol, option
from aitrade_cli.pipeline import emit, output_name, progress, write_output


def train(
    recipe: Annotated[
        str | None, typer.Argument(metavar="[RECIPE]", help="A recipe in TOML; flags win over it")
    ] = None,
    init: Annotated[
        str | None,
        option("--init", metavar="FILE", help="Write a recipe with every key explained, and stop"),
    ] = None,
    arch: Annotated[
        str | None,
        option(
            "--arch", metavar="NAME", help="A built-in architecture, or your own `module:factory`"
        ),
    ] = None,
    data: Annotated[
        str | None,
        option("--data", metavar="BARS", help="Parquet or CSV bars; the newest only judge"),
    ] = None,
    symbol: Symbol = None,
    epochs: Annotated[int | None, option("--epochs", help="Passes over the windows")] = None,
    batch: Annotated[
        str | None,
        option("--batch", metavar="N", help="Windows a step learns from, or `auto`: find it"),
    ] = None,
    accumulate: Annotated[
        int | None, option("--accumulate", help="Compute a step in parts: less memory")
    ] = None,
    learning_rate: Annotated[float | None, option("--learning-rate", help="The highest")] = None,
    schedule: Annotated[
        str | None,
        option("--schedule", help="cosine, onecycle, restarts, linear or constant"),
    ] = None,
    amp: Annotated[
        str | None, option("--amp", help="auto, fp32, bf16 or fp16 for matrix products")
    ] = None,
    activation_checkpointing: Annotated[
        bool,
        option("--activation-checkpointing", help="Compute activations twice, keep few"),
    ] = False,
    compile_: Annotated[
        bool, option("--compile", help="Let torch.compile make the passes")
    ] = False,
    average: Annotated[
        float | None, option("--average", help="Decay of a moving average of the weights")
    ] = None,
    early_stop: Annotated[
        str | None,
        option("--early-stop", metavar="CRITERIA", help="sharpe:max:patience=5,drawdown:<0.2"),
    ] = None,
    folds: Annotated[int | None, option("--folds", help="Walk-forward folds")] = None,
    lora: Annotated[
        str | None,
        option("--lora", metavar="r=8", help="Train small adapters beside the weights of `--base`"),
    ] = None,
    hogwild: Annotated[
        int | None, option("--hogwild", metavar="N", help="Processes that train without waiting")
    ] = None,
    device: Annotated[str | None, option("--device", help="auto, cpu or cuda")] = None,
    seed: Annotated[
        int | None, option("--seed", help="Same seed, same threads, same weights")
    ] = None,
    base: Annotated[
        str | None,
        option("--base", metavar="MODEL", help="Go on from this model's weights"),
    ] = None,
    run_dir: Annotated[
        Path | None,
        option("--run-dir", metavar="DIR", help="Keep recipe, states and metrics here"),
    ] = None,
    resume: Annotated[
        str | None,
        option(
            "--resume",
            metavar="DIR",
            variable="AITRADE_TRAIN_RESUME",
            help="Go on with the run of this folder",
        ),
    ] = None,
    checkpoint_every: Annotated[
        int | None, option("--checkpoint-every", help="Steps between two; 0: after passes only")
    ] = None,
    keep: Annotated[
        int | None, option("--keep", help="Newest checkpoints that stay, besides the best")
    ] = None,
    checkpoint_weights_only: Annotated[
        bool,
        option("--checkpoint-weights-only", help="Smaller, and no run can go on from them"),
    ] = False,
    devices: Annotated[
        int | None, option("--devices", help="Processes that share each batch (DDP)")
    ] = None,
    shard: Annotated[
        str | None, option("--shard", help="Share out: optimizer, full (FSDP2), deepspeed (ZeRO-2)")
    ] = None,
    offload: Annotated[
        bool, option("--offload", help="Keep what a GPU does not use in main memory")
    ] = False,
    compress_gradients: Annotated[
        str | None,
        option("--compress-gradients", help="Send gradients as bf16, fp16 or powersgd"),
    ] = None,
    leaks: Annotated[
        str | None, option("--leaks", help="none, quick or full proof that no future leaks in")
    ] = None,
    tensorboard: Annotated[
        bool, option("--tensorboard", help="Write event files into the run's folder")
    ] = False,
    workers: Annotated[
        str | None,
        option("--workers", metavar="N", help="Processes that cut batches ahead, or `auto`"),
    ] = None,
    dry_run: Annotated[
        bool, option("--dry-run", help="Say what would run and what it takes; train nothing")
    ] = False,
    output: ModelOut = None,
    plot: Plot = None,
    force: Force = False,
    as_json: Json = False,
) -> None:  # long because Typer takes one parameter an option, and each is handed on once
    """Bars are cut by time: to learn from, to stop by, and an untouched test part that is looked
    at once, at the end. Scale and labels are set by the training part alone, which is proven with
    another future. A network that never sees an edge says so: the report does not choose.

    `RECIPE` is TOML, `--init` writes one; the resolved recipe is stored in the model. A limit of
    `--early-stop` that no epoch holds exits 1; the model is still written.
    """
    from aitrade_cli.passes.train.devices import train as run
    from aitrade_cli.passes.train.dry_run import dry_run as would_run
    from aitrade_cli.passes.train.pictures import figure_of, save_pictures
    from aitrade_cli.passes.train.recipe_file import template
    from aitrade_cli.passes.train.settings import batch_of, settings_of, workers_of
    from aitrade_cli.report.plot import check_plot, save_plot

    flags = {
        **{"arch": arch, "data": data, "symbol": symbol, "seed": seed, "device": device},
        **{"training.epochs": epochs, "training.accumulate": accumulate},
        "training.batch": batch_of(batch),
        **{"training.learning_rate": learning_rate, "training.schedule": schedule},
        **{"training.amp": amp, "training.average": average, "training.early_stop": early_stop},
        "training.activation_checkpointing": activation_checkpointing or None,
        "training.compile": compile_ or None,
        **{"checkpoint.every_steps": checkpoint_every, "checkpoint.keep": keep},
        "checkpoint.weights_only": checkpoint_weights_only or None,
        **{"spread.devices": devices, "spread.shard": shard, "spread.offload": offload or None},
        "spread.compress_gradients": compress_gradients,
        **{"training.lora": lora, "training.hogwild": hogwild},
        "training.workers": workers_of(workers),
        **{"split.folds": folds, "report.leaks": leaks, "report.tensorboard": tensorboard or None},
    }
    if init is not None:
        text = template({name: value for name, value in flags.items() if value is not None})
        write_output(output_name(init, init, ".toml", force=force), text.encode(), force=force)
        return
    check_plot(plot)
    settings = settings_of(recipe, flags, run_dir=run_dir, resume=resume, base=base, force=force)
    if dry_run:
        with progress("train", as_json=as_json) as say:
            report = would_run(settings, say)
        emit(report, command="train", as_json=as_json)
        return
    source, ending = settings.named_after
    target = output_name(source, output, ending, force=force)
    with progress("train", as_json=as_json) as say:
        made = run(settings, target, say)
    if made is None:
        return  # torchrun's other processes have nothing to tell
    write_output(target, made.data, force=force)
    told = made.report
    if settings.run_dir is not None:
        told = save_pictures(settings.run_dir, told, made.judged)
    if plot:
        save_plot(plot, figure_of(told, made.judged))
    emit(told, command="train", as_json=as_json, artefact=target)
    if not told.passed:
        raise typer.Exit(1)
