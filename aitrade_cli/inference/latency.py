"""How fast variants of a model answer, measured so that the comparison can be believed.

One process per variant; rounds in which every variant runs once, in a new order each
time; and a second process of the first variant, whose difference from the first can only
be noise. A difference inside that noise is called a tie.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float32

from aitrade_cli.errors import BadInput
from aitrade_cli.inference.latency_report import (
    Comparison,
    Latency,
    LatencyReport,
    Noise,
    judge,
    noise_of,
    speed_over,
)
from aitrade_cli.inference.processes import VariantFailed
from aitrade_cli.inference.resampling import CALLS_NEEDED, median_interval, percentile
from aitrade_cli.inference.rounds import Heat, Launch, Race, Say, launch_worker
from aitrade_cli.inference.variants import (
    FULL,
    PATIENT,
    QUICK,
    Effort,
    NotRun,
    Patience,
    Variant,
)
from aitrade_cli.system.host import Load, describe_host, load_between, read_cpu_clock

__all__ = [
    "FULL",
    "QUICK",
    "Effort",
    "Latency",
    "LatencyReport",
    "Variant",
    "VariantFailed",
    "measure",
]

CONTROL: Final = " (again)"  # what the second process of the first variant is called


def measure(
    variants: Sequence[Variant],
    *,
    batches: Sequence[int] = (1,),
    length: int | None = None,
    windows: Float32[np.ndarray, "n time feature"] | None = None,
    effort: Effort = FULL,
    control: bool = True,
    seed: int = 0,
    say: Say | None = None,
    launch: Launch = launch_worker,
    patience: Patience = PATIENT,
) -> LatencyReport:
    """Measure variants against each other. The first that runs counts as 1.

    A variant that cannot be opened or dies is listed with its reason, and the rest goes on.

    Args:
        variants: what to run; names must differ.
        batches: windows in one call, each >= 1.
        length: rows in a window; the artefact's own where not given.
        windows: real inputs for all variants; without them each takes the bars inside its
            artefact, or seeded normal numbers where it carries none.
        effort: rounds and seconds; ``QUICK`` chooses among candidates.
        control: also run the first variant a second time, to learn the noise.
        seed: of the order within rounds, random inputs and the bootstrap.
        say: told what is happening, in short lines.
        launch: starts the process of a variant.
        patience: when to give a silent process up.

    Raises:
        BadInput: no variants, two of one name, or a batch size below 1.
        VariantFailed: no variant could be opened, or none lived through a batch size.
    """
    check(variants, batches)
    say = say or (lambda _: None)
    with (
        tempfile.TemporaryDirectory(prefix="aitrade-") as folder,
        Race(Path(folder), launch, patience) as race,
    ):
        settings: dict[str, Any] = {"length": length, "seed": seed, "windows": None}
        if windows is not None:
            settings["windows"] = str(Path(folder) / "windows.npy")
            np.save(settings["windows"], windows)
        say(f"starting {len(variants) + control} processes")
        open_all(race, variants, settings, control=control)
        return run_all(race, sorted(set(batches)), effort, seed, say)


def check(variants: Sequence[Variant], batches: Sequence[int]) -> None:
    names = [variant.name for variant in variants]
    if not names:
        raise BadInput("there is nothing to measure")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"two variants are called `{twice}`")
    wrong = next((batch for batch in batches if batch < 1), None)
    if wrong is not None or not batches:
        raise BadInput(f"a batch holds at least one window, not `{wrong}`")


def open_all(
    race: Race, variants: Sequence[Variant], settings: dict[str, Any], *, control: bool
) -> None:
    """Open the variants and the control, which repeats the first that opened."""
    again = [replace(variants[0], name=variants[0].name + CONTROL)] if control else []
    race.open([*variants, *again], settings)
    race.failed = [lost for lost in race.failed if not lost.variant.endswith(CONTROL)]
    first = next((arm.variant for arm in race.arms), None)
    if first is None:
        raise race.failed[0]
    if control and first.name not in {variants[0].name, variants[0].name + CONTROL}:
        race.open([replace(first, name=first.name + CONTROL)], settings)


def run_all(
    race: Race, batches: Sequence[int], effort: Effort, seed: int, say: Say
) -> LatencyReport:
    """Measure an opened race at every batch size and write the report."""
    rng = np.random.default_rng(seed)
    heats: dict[int, list[Heat]] = {}
    own_before, clock = race.cpu_seconds() + time.process_time(), read_cpu_clock()
    for batch in batches:
        heats[batch] = race.heat(batch, effort, rng, say)
    if not any(heats.values()):
        raise race.failed[0]
    own = race.cpu_seconds() + time.process_time() - own_before
    load = load_between(clock, read_cpu_clock(), own)
    failed = tuple(NotRun(lost.variant, lost.reason) for lost in race.failed)
    return report_of(heats, failed, load, effort, seed)


def report_of(
    heats: dict[int, list[Heat]],
    failed: tuple[NotRun, ...],
    load: Load,
    effort: Effort,
    seed: int,
) -> LatencyReport:
    latencies: list[Latency] = []
    comparisons: list[Comparison] = []
    noises: list[Noise] = []
    for batch, found in heats.items():
        all_of_batch = [latency_of(heat, batch, seed) for heat in found]
        shown = [one for one in all_of_batch if not one.variant.endswith(CONTROL)]
        if not shown:
            continue
        again = [one for one in all_of_batch if one.variant == shown[0].variant + CONTROL]
        noise = noise_of(batch, speed_over(again[0], shown[0], seed) if again else None)
        for one in shown[1:]:
            speed = speed_over(one, shown[0], seed)
            judgement = judge(speed, noise.band)
            comparisons.append(Comparison(one.variant, shown[0].variant, batch, speed, judgement))
        latencies += shown
        noises.append(noise)
    shown_failures = tuple(lost for lost in failed if not lost.variant.endswith(CONTROL))
    return LatencyReport(
        tuple(latencies),
        tuple(comparisons),
        tuple(noises),
        shown_failures,
        describe_host(),
        load,
        effort,
        seed,
    )


def latency_of(heat: Heat, batch: int, seed: int) -> Latency:
    """Turn nanoseconds into what a report says."""
    calls = heat.calls_ns / 1e3
    p50 = float(np.median(calls))
    runs = calls.size
    missing = [f"p{p:g} needs {n:,} runs" for p, n in CALLS_NEEDED.items() if runs < n]
    variant = heat.arm.variant
    return Latency(
        variant=variant.name,
        runtime=heat.arm.opened.get("runtime", variant.runtime),
        device=heat.arm.opened["device"],
        threads=variant.threads,
        batch=batch,
        runs=runs,
        latency_us_p50=p50,
        latency_us_p50_interval=median_interval(calls, seed=seed),
        latency_us_p99=percentile(calls, 99.0),
        latency_us_p999=percentile(calls, 99.9),
        percentile_reason=f"{', '.join(missing)}; {runs:,} were made" if missing else None,
        throughput_per_second=batch / p50 * 1e6,
        peak_memory_bytes=heat.peak_bytes,
        size_bytes=variant.size_bytes,
        open_seconds=heat.arm.opened["seconds"],
        first_call_us=heat.first_ns / 1e3,
        inputs=heat.arm.opened["inputs"],
        round_us_p50=tuple(np.median(calls, axis=1).tolist()),
    )
