"""What a run would do, measured on two steps that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

from torch import nn

from aitrade_cli.passes.train.devices import devices_for, refuse_to_start
from aitrade_cli.passes.train.parts import adapters_of, build_alone, place_of
from aitrade_cli.passes.train.prepare import Prepared, prepare
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.passes.train.together import refuse_together
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.training.batch_size import BatchChoice
from aitrade_cli.training.build import assemble
from aitrade_cli.training.loading import SharedWindows
from aitrade_cli.training.loading_choice import find_settings
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.precision_choice import PrecisionChoice
from aitrade_cli.training.run import device_of, threads_for
from aitrade_cli.training.trial import Trial, time_recipes
from aitrade_cli.units import bytes_text, seconds_text

ADAM_MOMENTS = 2


@dataclass(frozen=True, slots=True)
class DryRun:
    """A run that was not started.

    Attributes:
        windows: of training, validation and test, in this order.
        first, last: UTC dates of the first training and the last test decision.
        trained: parameters that would change.
        processes: that would share each batch; figures below are of one of them.
        memory_bytes: weights, gradients, moments, activations; the last was measured.
        step_s: median of a few steps on one process' part of a batch, without any exchange;
            ``seconds``: of all steps, where nothing stops before.
        data_bytes: that the windows take, as views of the bars; ``copied_bytes``: as copies.
        workers: processes that would cut batches ahead of use; 0 where the run does so itself.
    """

    arch: str
    parameters: int
    trained: int
    symbol: str
    windows: tuple[int, int, int]
    folds: int
    epochs: int
    batch: int
    accumulate: int
    steps: int
    processes: int
    memory_bytes: dict[str, int]
    step_s: float
    seconds: float
    data_bytes: int
    copied_bytes: int
    workers: int
    precision: PrecisionChoice
    found_batch: BatchChoice | None
    device: str
    threads: int
    stages: tuple[str, ...]
    notes: tuple[str, ...]


def dry_run(settings: Settings, say: Callable[[str], None] = lambda _: None) -> DryRun:
    """Prepare everything, take a few steps on a copy, and tell.

    Raises:
        BadInput, Refused, Missing, Usage: whatever would stop the run before its first step.
    """
    refuse_to_start(settings, say)
    world = devices_for(settings, say)
    ready = prepare(settings, say, world)
    network, recipe = ready.start.network, ready.recipe
    refuse_together(settings, network, world, warn=True)
    trial = stepped(ready, world)
    steps = recipe.epochs * -(-len(ready.objective) // recipe.batch)
    folds = 1 + len(ready.split.earlier)
    copy, build = deepcopy(network), build_alone(settings)
    trained = assemble(copy, nn.Identity(), recipe, build, Alone()).trained
    series, windows = ready.parts.series, ready.objective.training.windows
    return DryRun(
        arch=ready.start.arch.name,
        parameters=sum(one.numel() for one in network.parameters()),
        trained=sum(one.numel() for one in trained),
        symbol=ready.bars.symbol,
        windows=(len(ready.objective), len(ready.parts.validation), len(ready.parts.test)),
        folds=folds,
        epochs=recipe.epochs,
        batch=recipe.batch,
        accumulate=recipe.accumulate,
        steps=steps,
        processes=world,
        memory_bytes=held_by(settings, copy, trained, world) | {"activations": trial.peak_bytes},
        step_s=trial.median_s,
        seconds=trial.median_s * steps * folds,
        data_bytes=series.features.nbytes,
        copied_bytes=windows.size * windows.itemsize,
        workers=ready.found.loader.workers,
        precision=ready.found.precision,
        found_batch=ready.found.batch,
        device=device_of(network).type,
        threads=threads_for(network),
        stages=stages_of(ready, world),
        notes=(*ready.split.notes, loader_note(ready)),
    )


def stepped(ready: Prepared, world: int) -> Trial:
    """A few steps on one process' part of a batch; adapters are proven first, as in a run."""
    network, recipe = ready.start.network, ready.recipe
    if (adapters := adapters_of(ready.settings)) is not None:
        adapters.prove(network, ready.objective.training.windows)
    part = replace(recipe, batch=-(-recipe.batch // world))
    part = replace(part, accumulate=min(part.accumulate, part.batch))
    build = build_alone(ready.settings)
    (trial,) = time_recipes(network, ready.objective, [part], rounds=3, build=build)
    return trial


def held_by(
    settings: Settings, network: nn.Module, trained: Sequence[nn.Parameter], world: int
) -> dict[str, int]:
    """Bytes that one process holds from step to step."""
    shard = settings.values["spread.shard"]
    weights, changed = (sum(one.nbytes for one in ones) for ones in (network.parameters(), trained))
    moments = 0 if settings.values["training.hogwild"] else ADAM_MOMENTS * changed
    # DeepSpeed updates a copy of its part, and gathers the parts into the weights.
    copied = bucket = 0
    if shard == "deepspeed":
        from aitrade_cli.training.distributed.deepspeed import bucket_of

        copied = shared(changed, world)
        bucket = bucket_of(trained, world) * trained[0].element_size()
    return {
        "weights": shared(weights, world if shard == "full" else 1) + copied,
        "gradients": shared(changed, world if shard in {"full", "deepspeed"} else 1) + bucket,
        "moments": shared(moments, world if shard != "none" else 1),
    }


def shared(size: int, among: int) -> int:
    """The largest of equal parts."""
    return -(-size // among)


def loader_note(ready: Prepared) -> str:
    """What a race of loader settings says here; it is not held again where it was held."""
    asked = ready.settings.values["training.workers"]
    if asked:
        told = "found by training steps" if asked < 0 else "as asked"
        return f"loader: {ready.found.loader}, {told}"
    choice = find_settings(SharedWindows.of(ready.objective.training), ready.recipe.batch)
    hint = "; `--workers auto` judges them by training steps" if choice.settings.workers else ""
    return f"loader: 0 workers; cutting alone is fastest with {choice}{hint}"


def stages_of(ready: Prepared, world: int) -> tuple[str, ...]:
    """What would be on, in the order in which it is built."""
    recipe, settings = ready.recipe, ready.settings
    wild = settings.values["training.hogwild"]
    place = f"{wild} processes that do not wait" if wild else place_of(settings, world).name
    on = {
        f"adapters, {settings.lora}": settings.lora is not None,
        "activation checkpointing": recipe.activation_checkpointing,
        "compile": recipe.compile,
        place: True,
        "plain gradient descent": bool(wild),
        f"accumulation in {recipe.accumulate} parts": recipe.accumulate > 1,
        recipe.precision: True,
        f"{recipe.schedule} schedule": True,
        f"average of weights, decay {recipe.average:g}": recipe.average > 0,
    }
    return tuple(name for name, is_on in on.items() if is_on)


@view.register
def _(report: DryRun) -> Sequence[Block]:
    training, validation, test = report.windows
    total = sum(report.memory_bytes.values())
    parts = ", ".join(f"{name} {bytes_text(size)}" for name, size in report.memory_bytes.items())
    steps = f"{report.steps:,} at the most, {seconds_text(report.step_s)} each"
    rows = [
        ("Network", network_text(report)),
        ("Windows", f"{training:,} training, {validation:,} validation, {test:,} test"),
        ("Folds", str(report.folds)),
        ("Epochs", f"{report.epochs} of {-(-training // report.batch):,} steps"),
        ("Steps", steps),
        ("Would take", f"{seconds_text(report.seconds)} without validation"),
        ("Products in", f"{report.precision.precision}: {report.precision.why}"),
        ("Memory", f"{bytes_text(total)}{' a process' * (report.processes > 1)}: {parts}"),
        (
            "Data",
            f"{bytes_text(report.data_bytes)} as views, not {bytes_text(report.copied_bytes)}"
            f" as copies; {report.workers} worker{'s' * (report.workers != 1)}",
        ),
        ("On", f"{report.device}, {report.threads} thread{'s' * (report.threads > 1)}"),
    ]
    blocks: list[Block] = [Verdict("nothing was trained or written"), Facts("Would run", rows)]
    if report.found_batch is not None:
        tried = [
            (
                f"{one.batch}{' *' if one.batch == report.batch else ''}",
                f"{one.windows_per_s:,.0f}",
                bytes_text(one.activation_bytes),
            )
            for one in report.found_batch.candidates
        ]
        blocks.append(Table("Batch (* taken)", ("Windows", "Windows/s", "Activations"), tried))
    return (*blocks, Notes("In this order", (*report.stages, *report.notes)))


def network_text(report: DryRun) -> str:
    some = f", {report.trained:,} trained" if report.trained != report.parameters else ""
    return f"{report.arch}, {report.parameters:,} parameters{some}"
