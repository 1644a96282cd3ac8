"""What a run would do, measured on two steps that change nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aitrade_cli.passes.train.prepare import Prepared, prepare
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.training.batch_size import BatchChoice
from aitrade_cli.training.loading import SharedWindows
from aitrade_cli.training.loading_choice import find_settings
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.precision_choice import PrecisionChoice
from aitrade_cli.training.run import device_of, threads_for
from aitrade_cli.training.trial import time_recipes
from aitrade_cli.units import bytes_text, seconds_text

ADAM_MOMENTS = 2
FLOAT32_BYTES = 4


@dataclass(frozen=True, slots=True)
class DryRun:
    """A run that was not started.

    Attributes:
        windows: of training, validation and test, in this order.
        first, last: UTC dates of the first training and the last test decision.
        memory_bytes: weights, gradients, moments, activations; the last was measured.
        step_s: median of a few steps; ``seconds``: of all steps, where nothing stops before.
        data_bytes: that the windows take, as views of the bars; ``copied_bytes``: as copies.
        workers: processes that would load data.
    """

    arch: str
    parameters: int
    symbol: str
    windows: tuple[int, int, int]
    folds: int
    epochs: int
    batch: int
    accumulate: int
    steps: int
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
        BadInput, Refused, Missing: whatever would stop the run itself.
    """
    ready = prepare(settings, say)
    network, recipe = ready.start.network, ready.recipe
    (trial,) = time_recipes(network, ready.objective, [recipe], rounds=3)
    weights = sum(one.numel() for one in network.parameters()) * FLOAT32_BYTES
    steps = recipe.epochs * -(-len(ready.objective) // recipe.batch)
    loader = find_settings(SharedWindows.of(ready.objective.training), recipe.batch)
    series, windows = ready.parts.series, ready.objective.training.windows
    return DryRun(
        arch=ready.start.arch.name,
        parameters=weights // FLOAT32_BYTES,
        symbol=ready.bars.symbol,
        windows=(len(ready.objective), len(ready.parts.validation), len(ready.parts.test)),
        folds=1 + len(ready.earlier),
        epochs=recipe.epochs,
        batch=recipe.batch,
        accumulate=recipe.accumulate,
        steps=steps,
        memory_bytes={
            "weights": weights,
            "gradients": weights,
            "moments": ADAM_MOMENTS * weights,
            "activations": trial.peak_bytes,
        },
        step_s=trial.median_s,
        seconds=trial.median_s * steps * (1 + len(ready.earlier)),
        data_bytes=series.features.nbytes,
        copied_bytes=windows.size * windows.itemsize,
        workers=loader.settings.workers,
        precision=ready.precision,
        found_batch=ready.batch,
        device=device_of(network).type,
        threads=threads_for(network),
        stages=stages_of(ready),
        notes=(f"loader: {loader}",),
    )


def stages_of(ready: Prepared) -> tuple[str, ...]:
    """What would be on, in the order in which it is built."""
    recipe = ready.recipe
    on = {
        "activation checkpointing": recipe.activation_checkpointing,
        "compile": recipe.compile,
        Alone.name: True,
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
        ("Network", f"{report.arch}, {report.parameters:,} parameters"),
        ("Windows", f"{training:,} training, {validation:,} validation, {test:,} test"),
        ("Folds", str(report.folds)),
        ("Epochs", f"{report.epochs} of {-(-training // report.batch):,} steps"),
        ("Steps", steps),
        ("Would take", f"{seconds_text(report.seconds)} without validation"),
        ("Products in", f"{report.precision.precision}: {report.precision.why}"),
        ("Memory", f"{bytes_text(total)}: {parts}"),
        (
            "Data",
            f"{bytes_text(report.data_bytes)} as views, not {bytes_text(report.copied_bytes)}"
            f" as copies; {report.workers} workers",
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
