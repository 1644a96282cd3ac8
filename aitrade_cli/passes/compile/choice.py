"""Which compiled candidate ships: the fastest that is equivalent and nowhere slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Final

from aitrade_cli.inference.latency_report import LatencyReport
from aitrade_cli.passes.compile.candidates import Compiled
from aitrade_cli.passes.compile.report import BatchLine, CompileLine
from aitrade_cli.passes.compile.settings import CompileSettings
from aitrade_cli.units import ratio_text, share_text

SAFETY: Final = 0.7  # of the flips allowed; later bars may show more
TIE: Final = 1.05  # among these the one with fewer flips ships
FLOAT32_DELTA: Final = 1e-3  # of the outputs' spread: orders of summation differ by far less


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Everything that was built and timed, and what ships.

    Attributes:
        winner: None where the source is kept.
        gained: the winner is faster beyond noise somewhere and slower nowhere.
        kept: why the source is kept; empty where it is not.
    """

    built: tuple[Compiled, ...]
    timed: LatencyReport
    settings: CompileSettings
    winner: Compiled | None
    gained: bool
    kept: str


def judge_all(
    built: Sequence[Compiled], timed: LatencyReport, settings: CompileSettings
) -> Verdicts:
    """Pick the winner.

    Args:
        built: every candidate.
        timed: those that ran, against the source.
        settings: what was asked for; what was asked for by name ships without a gain too.
    """
    good = [one for one in built if barred(one, timed, settings) is None]
    gaining = [one for one in good if gains(one, timed, settings)]
    if gaining:
        return Verdicts(tuple(built), timed, settings, fastest(gaining, timed, settings), True, "")
    if settings.by_name and good:
        return Verdicts(tuple(built), timed, settings, fastest(good, timed, settings), False, "")
    why = "nothing else is here"
    if good:
        best = fastest(good, timed, settings)
        speeds = ", ".join(
            f"{ratio_text(timed.speed(best.name, batch=batch).value)} at batch {batch}"
            for batch in settings.batches
        )
        why = f"nothing is faster beyond noise; the best is {best.name}, {speeds}"
    elif any(one.made is not None for one in built):
        why = "no candidate is equivalent"
    return Verdicts(tuple(built), timed, settings, None, False, why)


def fastest(good: Sequence[Compiled], timed: LatencyReport, settings: CompileSettings) -> Compiled:
    """By the geometric mean over the batches; within ``TIE`` the one that flips least."""
    speeds = {one.name: mean_speed(one, timed, settings) for one in good}
    best = max(speeds.values())
    ties = [one for one in good if speeds[one.name] * TIE >= best]
    return min(ties, key=lambda one: (one.flips or 0.0, -speeds[one.name]))


def mean_speed(one: Compiled, timed: LatencyReport, settings: CompileSettings) -> float:
    return geometric_mean(timed.speed(one.name, batch=batch).value for batch in settings.batches)


def barred(one: Compiled, timed: LatencyReport, settings: CompileSettings) -> str | None:
    """What keeps a candidate from being shipped; None where nothing does."""
    if one.made is None or one.parity is None:
        return one.failed
    differs = difference(one, settings)
    if differs is not None:
        return differs
    lost = next((lost.reason for lost in timed.not_run if lost.variant == one.name), None)
    if lost is not None or any(not ran(one.name, timed, batch) for batch in settings.batches):
        return f"did not run: {lost or 'not at every batch'}"
    if not one.ships:
        return "compiles anew in every process, so it is measured and not shipped"
    return None


def difference(one: Compiled, settings: CompileSettings) -> str | None:
    """How a candidate fails to be equivalent; None where it is."""
    assert one.parity is not None  # asked of what was compared
    if one.parity.broken:
        first = one.parity.broken[0]
        return f"not equivalent: lost `{first.name}` ({first.reason})"
    limit = settings.flips_allowed * SAFETY
    if one.flips is not None and one.flips > limit:
        return f"not equivalent: decides otherwise on {share_text(one.flips, 2)} of the windows"
    if one.precision == "bfloat16" and one.flips is None:
        return "no bars or no decision rule to judge bfloat16 by"
    usual = [case.relative or 0.0 for case in one.parity.ran if case.kind != "extreme"]
    if one.precision == "float32" and max(usual, default=0.0) > FLOAT32_DELTA:
        return f"not equivalent: outputs are {max(usual):.1g} of their spread apart"
    return None


def gains(one: Compiled, timed: LatencyReport, settings: CompileSettings) -> bool:
    """Faster beyond noise at a batch, and slower at none."""
    found = [timed.judge(one.name, batch=batch) for batch in settings.batches]
    return "faster" in found and "slower" not in found


def ran(name: str, timed: LatencyReport, batch: int) -> bool:
    return any((each.variant, each.batch) == (name, batch) for each in timed.latencies)


def line_of(one: Compiled, verdicts: Verdicts) -> CompileLine:
    """The candidate as reports show it."""
    parity = one.parity
    winner = verdicts.winner
    status = "shipped" if one is winner else "built" if one.made is not None else "failed"
    return CompileLine(
        name=one.name,
        backend=one.backend,
        precision=one.precision,
        compile_seconds=one.compile_seconds,
        shapes=None if parity is None else parity.shapes,
        output_delta_max=None if parity is None else parity.real_max_abs,
        flips=one.flips,
        graphs=one.graphs,
        batches=batch_lines(one.name, verdicts.timed, verdicts.settings),
        status="absent" if one.absent else status,
        reason=reason_of(one, verdicts),
    )


def batch_lines(
    name: str, timed: LatencyReport, settings: CompileSettings
) -> tuple[BatchLine, ...]:
    """The figures of a candidate, or of the source, at every batch where it ran."""
    lines = []
    for batch in settings.batches:
        if not ran(name, timed, batch):
            continue
        latency, speed = timed.latency(name, batch), timed.speed(name, batch=batch)
        lines.append(
            BatchLine(
                batch,
                latency.first_call_us,
                latency.latency_us_p50,
                latency.latency_us_p99,
                latency.peak_memory_bytes,
                speed.value,
                speed.interval.low,
                speed.interval.high,
                timed.judge(name, batch=batch),
            )
        )
    return tuple(lines)


def reason_of(one: Compiled, verdicts: Verdicts) -> str:
    timed, settings = verdicts.timed, verdicts.settings
    stopped = barred(one, timed, settings)
    counted = f"; {one.graphs} graphs compiled" if one.graphs else ""
    if one is verdicts.winner:
        return "shipped, the fastest that is equivalent" if verdicts.gained else "asked by name"
    if stopped is not None:
        return stopped + counted
    slower = [b for b in settings.batches if timed.judge(one.name, batch=b) == "slower"]
    if slower:
        return f"slower than the source at batch {', '.join(map(str, slower))}"
    if not gains(one, timed, settings):
        return "not faster than the source beyond noise"
    winner = verdicts.winner
    ratio = 1.0
    if winner is not None:
        ratio = mean_speed(one, timed, settings) / mean_speed(winner, timed, settings)
    return f"{ratio_text(ratio)} of the shipped one's speed"
