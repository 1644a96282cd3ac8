"""Several models in several runtimes, at several batch sizes and thread counts.

Everything that is compared ran in the same rounds. The first model in its first runtime
counts as 1; besides, each model is compared with its own first runtime, which for torch
is eager.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from aitrade_cli.inference.bench_report import BenchReport, BenchRow, Cell
from aitrade_cli.inference.entrants import Entrant, enter, groups
from aitrade_cli.inference.latency import measure
from aitrade_cli.inference.latency_report import LatencyReport
from aitrade_cli.inference.processes import VariantFailed
from aitrade_cli.inference.rounds import Launch, Say, launch_worker
from aitrade_cli.inference.variants import Effort, NotRun
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.system.host import describe_host

SECONDS_IN_ALL: Final = 90.0  # of measured calls, shared out among all variants
SECONDS_LEAST, SECONDS_MOST = 0.5, 2.0


def bench(
    models: Sequence[Artefact],
    *,
    batches: Sequence[int] = (1,),
    threads: Sequence[int] = (1,),
    runtimes: Sequence[str] = (),
    effort: Effort | None = None,
    length: int | None = None,
    seed: int = 0,
    say: Say | None = None,
    launch: Launch = launch_worker,
) -> BenchReport:
    """Measure every model in every runtime that runs it here.

    Args:
        models: loaded artefacts; the first is what the others are compared with.
        batches: windows in one call, each >= 1.
        threads: sizes of the runtime's pool, each >= 1.
        runtimes: names; empty takes all that are here, see `entrants.enter`.
        effort: rounds and seconds; ``SECONDS_IN_ALL`` are shared out where not given.
        length: rows in a window; each model's own where not given.
        seed: of the order of turns, random inputs and the bootstrap.
        say: told what is happening.
        launch: starts the process of a variant.

    Raises:
        Usage: a runtime is not known, or none of them runs any of the models.
        VariantFailed: nothing could be measured.
    """
    say = say or (lambda _: None)
    batches, threads = sorted(set(batches)), sorted(set(threads))
    cells = len(batches) * len(threads)
    entry = enter(models, runtimes, cells=cells, say=say)
    effort = effort or share_out(len(entry.entrants) + 1, cells)
    report = BenchReport((), (), entry.not_run, entry.notes, describe_host(), effort, seed)
    failures: list[VariantFailed] = []
    for count in threads:
        for group in groups(entry.entrants, describe_host().memory_free_bytes):
            say(f"{count} thread{'s' * (count > 1)}: {len(group)} variants")
            variants = [replace(entrant.variant, threads=count) for entrant in group]
            try:
                found = measure(
                    variants,
                    batches=batches,
                    length=length,
                    effort=effort,
                    seed=seed,
                    say=say,
                    launch=launch,
                )
            except VariantFailed as error:
                failures.append(error)
                lost = NotRun(error.variant, error.reason)
                report = replace(report, not_run=(*report.not_run, lost))
            else:
                report = extended(report, group, found)
    if not report.rows:
        raise failures[0]
    return report


def share_out(arms: int, cells: int) -> Effort:
    """The default effort: everybody's share of the time, within what is sensible for one."""
    seconds = min(SECONDS_MOST, max(SECONDS_LEAST, SECONDS_IN_ALL / (arms * cells)))
    return Effort(seconds=seconds)


def extended(report: BenchReport, group: Sequence[Entrant], found: LatencyReport) -> BenchReport:
    """The report with one more measurement; a repeated leader is kept from the first."""
    known = {(row.latency.variant, row.threads, row.batch) for row in report.rows}
    rows = [
        row
        for row in rows_of(group, found)
        if (row.latency.variant, row.threads, row.batch) not in known
    ]
    threads = group[0].variant.threads if not found.latencies else found.latencies[0].threads
    cells = [
        Cell(noise.batch, threads, noise.band, noise.control, found.load) for noise in found.noise
    ]
    not_run = dict.fromkeys((*report.not_run, *found.not_run))
    return replace(
        report,
        rows=(*report.rows, *rows),
        cells=(*report.cells, *cells),
        not_run=tuple(not_run),
    )


def rows_of(group: Sequence[Entrant], found: LatencyReport) -> list[BenchRow]:
    """Each figure with its model, against the first of all and the first of its family."""
    entrants = {entrant.variant.name: entrant for entrant in group}
    rows: list[BenchRow] = []
    for one in found.latencies:
        entrant = entrants[one.variant]
        own = next(
            other.variant
            for other in found.latencies
            if other.batch == one.batch and entrants[other.variant].family == entrant.family
        )
        rows.append(
            BenchRow(
                model=entrant.model,
                latency=one,
                baseline=found.baseline(one.batch),
                speed=found.speed(one.variant, batch=one.batch),
                judgement=found.judge(one.variant, batch=one.batch),
                own_baseline=own,
                own_speed=found.speed(one.variant, own, one.batch),
                own_judgement=found.judge(one.variant, own, one.batch),
            )
        )
    return rows
