"""A bench on screen: the answer first, then ratios, then every cell's figures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from aitrade_cli.inference.bench_report import BenchReport, BenchRow, Cell
from aitrade_cli.inference.latency_report import Judgement
from aitrade_cli.inference.resampling import CALLS_NEEDED, Interval, Ratio
from aitrade_cli.report.blocks import Block, Notes, Table, Verdict, view
from aitrade_cli.report.plot import Bars, Figure, Panel
from aitrade_cli.system.host import Host
from aitrade_cli.units import (
    DASH,
    bytes_text,
    count_text,
    microseconds_text,
    ratio_text,
    share_text,
)

CELLS_A_TABLE: Final = 4  # more columns would not fit 80
TIE: Final = "≈"


@view.register
def _(report: BenchReport) -> Sequence[Block]:
    families = len({row.own_baseline for row in report.rows}) > 1
    blocks: list[Block] = [Verdict(verdict(report))]
    blocks += overview(report)
    for cell in cells(report):
        blocks.append(details(report, cell, with_speed=families))
    blocks.append(Notes("How it was measured", tuple(conditions(report))))
    missing = [f"{lost.variant}: {lost.reason}" for lost in report.not_run]
    if missing or report.notes:
        blocks.append(Notes("Not run", (*missing, *report.notes)))
    return tuple(blocks)


def cells(report: BenchReport) -> list[tuple[int, int]]:
    """Batch size and thread count of every cell, each once."""
    return list(dict.fromkeys((row.batch, row.threads) for row in report.rows))


def verdict(report: BenchReport) -> str:
    """The fastest of each batch size; whether it beats the model's own first runtime."""
    sentences = [winner(report, batch) for batch in sorted({row.batch for row in report.rows})]
    if report.loaded:
        sentences.append("The host was loaded: measure again before you choose.")
    return " ".join(sentences)


def winner(report: BenchReport, batch: int) -> str:
    best = report.fastest(batch)
    time = microseconds_text(best.latency.latency_us_p50)
    text = f"Batch {batch}: {best.model} in {best.latency.runtime} is fastest, {time}"
    if best.threads > 1:
        text += f" with {best.threads} threads"
    if best.latency.variant == best.own_baseline:
        return f"{text}."
    if best.own_judgement == "tie":
        return f"{text}, a tie with {best.own_baseline}."
    return f"{text}, {ratio_text(best.own_speed.value)} as fast as {best.own_baseline}."


def overview(report: BenchReport) -> Iterator[Table]:
    """Each variant against its own model's first runtime, one column a cell."""
    found = {(row.latency.variant, row.batch, row.threads): row for row in report.rows}
    variants = dict.fromkeys(row.latency.variant for row in report.rows)
    all_cells = cells(report)
    for start in range(0, len(all_cells), CELLS_A_TABLE):
        shown = all_cells[start : start + CELLS_A_TABLE]
        lines = []
        for variant in variants:
            rows = [found.get((variant, *cell)) for cell in shown]
            present = [row for row in rows if row is not None]
            if not present:
                continue
            memory = max(row.latency.peak_memory_bytes for row in present)
            lines.append(
                (
                    present[0].model,
                    present[0].latency.runtime,
                    *(own_text(row) for row in rows),
                    bytes_text(memory),
                    bytes_text(present[0].latency.size_bytes),
                )
            )
        headings = [f"b{batch} t{threads}" for batch, threads in shown]
        yield Table(
            "Speed, the model's own first runtime is 1 (b batch, t threads)",
            ("Model", "Runtime", *headings, "Memory", "Size"),
            lines,
            left=2,
        )


def own_text(row: BenchRow | None) -> str:
    return DASH if row is None else speed_text(row.own_speed, row.own_judgement)


def speed_text(speed: Ratio, judgement: Judgement) -> str:
    """The ratio; a tie is marked, and a variant against itself is a plain 1."""
    mark = TIE if judgement == "tie" and speed.value != 1.0 else ""
    return mark + ratio_text(speed.value)


def details(report: BenchReport, cell: tuple[int, int], *, with_speed: bool) -> Table:
    """The figures of one batch size and thread count, fastest first."""
    batch, threads = cell
    rows = [row for row in report.rows if (row.batch, row.threads) == cell]
    rows.sort(key=lambda row: row.latency.latency_us_p50)
    headings = ["Model", "Runtime", "p50", "±", "p99", "p99.9", "Per s"]
    lines = []
    for row in rows:
        one = row.latency
        line = [
            row.model,
            one.runtime,
            microseconds_text(one.latency_us_p50),
            spread_text(one.latency_us_p50, one.latency_us_p50_interval),
            microseconds_text(one.latency_us_p99),
            microseconds_text(one.latency_us_p999),
            rate_text(one.throughput_per_second),
        ]
        lines.append((*line, speed_text(row.speed, row.judgement)) if with_speed else tuple(line))
    runs = sorted({row.latency.runs for row in rows})
    title = f"Batch {batch}, {threads} thread{'s' * (threads > 1)}, {span(runs)} runs"
    if with_speed:
        headings.append("Speed")
        title += f" (speed: {rows[0].baseline} is 1)"
    return Table(title, tuple(headings), lines, left=2)


def spread_text(value: float, interval: Interval) -> str:
    """The farther end of the interval, as a share of the value."""
    return share_text(max(value - interval.low, interval.high - value) / value, 0)


def rate_text(per_second: float) -> str:
    """Windows per second in three digits: ``105263`` -> ``105 k``."""
    for factor, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if per_second >= factor:
            return f"{per_second / factor:.3g}{letter}"
    return f"{per_second:.3g}"


def conditions(report: BenchReport) -> Iterator[str]:
    """What a reader must know to believe the figures, and to get them again."""
    rows = report.rows
    rounds = sorted({len(row.latency.round_us_p50) for row in rows})
    yield host_text(report.host)
    yield (
        f"a process of its own for each variant, {span(rounds)} rounds of one turn each in"
        f" changing order; seed {report.seed}"
    )
    yield "± and all ratios: 95 % bootstrap over rounds; a ratio is the median over rounds"
    yield noise_text(report.cells)
    yield load_text(report)
    most = max(row.threads for row in rows)
    if most > report.host.cores_usable:
        yield f"{most} threads share {count_text(report.host.cores_usable)} usable cores and wait"
    if any(row.latency.latency_us_p999 is None for row in rows):
        yield (
            f"{DASH}: too few runs; p99 needs {CALLS_NEEDED[99.0]:,} and p99.9"
            f" {CALLS_NEEDED[99.9]:,}: `--runs {CALLS_NEEDED[99.9]}`"
        )
    yield "memory: the most that the whole process held; size: weights or graph, no bars"
    kinds = {row.latency.inputs for row in rows}
    if kinds & {"random"}:
        names = dict.fromkeys(row.model for row in rows if row.latency.inputs == "random")
        yield f"random inputs, for lack of bars inside: {', '.join(names)}"


def span(values: Sequence[int]) -> str:
    low, high = count_text(values[0]), count_text(values[-1])
    return low if low == high else f"{low} to {high}"


def host_text(host: Host) -> str:
    parts = [host.cpu, f"{host.cores_usable} of {host.cores_online} cores usable"]
    if host.quota_cores is not None:
        parts.append(f"limited to {host.quota_cores:g} cores' time")
    parts += [" ".join(host.instructions), host.os, *host.gpus]
    return ", ".join(part for part in parts if part)


def noise_text(cells: Sequence[Cell]) -> str:
    worst = max(cell.noise_band for cell in cells)
    lead = f"{TIE} marks a tie: a difference within {share_text(worst - 1, 0)} can be noise"
    if all(cell.control is None for cell in cells):
        return f"{lead}; no second process of the first variant was run to check"
    return f"{lead}, by a second process of the first variant in the same rounds"


def load_text(report: BenchReport) -> str:
    worst = max(
        (cell.load for cell in report.cells), key=lambda load: load.others_cores + load.stolen_cores
    )
    taken = f"others took {worst.others_cores:.2f} of {worst.cores_usable} cores meanwhile"
    if worst.stolen_cores >= 0.01:
        taken += f", the hypervisor {worst.stolen_cores:.2f}"
    taken += f"; load average before: {worst.average_before:.1f}"
    if report.loaded:
        return f"LOADED HOST: {taken}; close other programs, a loaded host changes winners"
    return f"quiet host: {taken}"


def figure_of(report: BenchReport) -> Figure:
    """One panel a cell: medians with their intervals, fastest first."""
    panels = []
    for batch, threads in cells(report):
        rows = [row for row in report.rows if (row.batch, row.threads) == (batch, threads)]
        rows.sort(key=lambda row: row.latency.latency_us_p50)
        bars = Bars(
            labels=[row.latency.variant for row in rows],
            values=[row.latency.latency_us_p50 for row in rows],
            low=[row.latency.latency_us_p50_interval.low for row in rows],
            high=[row.latency.latency_us_p50_interval.high for row in rows],
            texts=[
                f"{microseconds_text(row.latency.latency_us_p50)}"
                f"  {speed_text(row.own_speed, row.own_judgement)}"
                for row in rows
            ],
        )
        title = f"Batch {batch}, {threads} thread{'s' * (threads > 1)}"
        panels.append(Panel(title, bars, "median latency of one call, µs", log="x"))
    return Figure("Latency by model and runtime", panels, tuple(conditions(report))[:5])
