"""Which candidate ships: the fastest that decides alike and is what was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aitrade_cli.inference.latency import LatencyReport
from aitrade_cli.model.artefact import OnnxGraph
from aitrade_cli.model.quantization.sensitivity import keep_in_float
from aitrade_cli.model.runtimes.start import start_onnx
from aitrade_cli.passes.quantize.candidates import Candidate, Workshop
from aitrade_cli.passes.quantize.report import CandidateLine
from aitrade_cli.passes.quantize.settings import Settings
from aitrade_cli.passes.timing import race
from aitrade_cli.training.material import Material
from aitrade_cli.units import ratio_text, share_text

Say = Callable[[str], None]
FLOAT: Final = "float32 ONNX"
LEAST_COVERED: Final = 0.95  # of the weights, for a graph to be called INT8
# Share of the flips allowed that a candidate may be expected to use up. At 0.7 of 1 %, 1,200
# later bars show more than 1 % about one time in twelve (Poisson, mean 8.4, more than 12).
LEAST_MENDED: Final = 0.5  # with less in INT8 it would be the float model under another name
SAFETY: Final = 0.7
TIE: Final = 1.10  # two runs of one graph in two processes lie this far apart


@dataclass(frozen=True, slots=True)
class Choice:
    """The winner, and what is said of all that were tried."""

    winner: Candidate
    graph: OnnxGraph
    lines: tuple[CandidateLine, ...]
    notes: tuple[str, ...]
    material: Material | None = None  # what the winner's weights were fine-tuned on


def choose(shop: Workshop, built: Sequence[Candidate], settings: Settings, say: Say) -> Choice:
    """Pick among the candidates that were built, at least one of them with a graph.

    `--int4` ships the smallest within the budget, everything else the fastest. Where
    none is within it, the one that flips least gets layers back in float until it is.
    """
    limit = settings.flips_allowed * SAFETY
    good = [one for one in built if fit(one, settings, limit)]
    if not good:
        mended = mend(shop, built, limit, say)
        built = built if mended in built else (*built, mended)
        good = [mended]
    timed = race_all(shop, built, settings, say)
    winner = best(good, timed, settings)
    if winner.graph is None:
        raise ValueError(f"{winner.name} was chosen without a graph")
    lines = tuple(line_of(one, winner, timed, settings, limit) for one in built)
    return Choice(winner, winner.graph, lines, notes_of(winner, timed))


def fit(one: Candidate, settings: Settings, limit: float) -> bool:
    return why_not(one, settings, limit) is None


def why_not(one: Candidate, settings: Settings, limit: float) -> str | None:
    """What keeps a candidate from being shipped; None where nothing does."""
    if one.graph is None or one.covered is None:
        return f"not built: {one.failed}"
    if settings.bits == "int8" and one.covered.int8_share < LEAST_COVERED and not one.kept:
        return f"only {share_text(one.covered.int8_share)} of its weights are INT8"
    if one.flips is not None and one.flips > limit:
        return f"decides otherwise on {share_text(one.flips, 2)} of the windows it is chosen on"
    return None


def race_all(
    shop: Workshop, built: Sequence[Candidate], settings: Settings, say: Say
) -> LatencyReport:
    graphs = {one.name: one.graph for one in built if one.graph is not None}
    return race(
        {FLOAT: shop.graph, **graphs},
        shop.windows,
        effort=settings.effort,
        seed=settings.seed,
        say=say,
    )


def best(good: Sequence[Candidate], timed: LatencyReport, settings: Settings) -> Candidate:
    """The smallest or the fastest of those that could be timed.

    Among those within ``TIE`` of the fastest it is the one that flips least, then the
    smallest: a race cannot tell them apart, and bars can.

    Raises:
        BadInput: none of them could be timed.
    """
    ran = {each.variant for each in timed.latencies}
    left = [one for one in good if one.name in ran] or list(good)
    if settings.bits == "int4":
        return min(left, key=size_of)
    quickest = min(timed.latency(one.name).latency_us_p50 for one in left)
    ties = [one for one in left if timed.latency(one.name).latency_us_p50 <= TIE * quickest]
    return min(ties, key=lambda one: (distance(one), size_of(one)))


def size_of(one: Candidate) -> int:
    return len(one.graph.proto_bytes) if one.graph is not None else 0


def line_of(
    one: Candidate, winner: Candidate, timed: LatencyReport, settings: Settings, limit: float
) -> CandidateLine:
    ran = next((each for each in timed.latencies if each.variant == one.name), None)
    return CandidateLine(
        name=one.name,
        size_bytes=size_of(one) or None,
        latency_us_p50=None if ran is None else ran.latency_us_p50,
        stored_share=None if one.covered is None else one.covered.stored_share,
        computed_share=None if one.covered is None else one.covered.computed_share,
        flips=one.flips,
        in_float=one.kept,
        shipped=one is winner,
        reason=reason_of(one, winner, timed, settings, limit),
    )


def reason_of(
    one: Candidate, winner: Candidate, timed: LatencyReport, settings: Settings, limit: float
) -> str:
    barred = why_not(one, settings, limit)
    if one is winner:
        found = (
            f"{most(settings)} that decides alike"
            if barred is None
            else f"none is better: {barred}"
        )
        kept = f"; in float: {', '.join(one.kept)}" if one.kept else ""
        return f"shipped, {found}{kept}"
    if barred is not None:
        return barred
    if one.name not in {each.variant for each in timed.latencies}:
        return next((lost.reason for lost in timed.not_run if lost.variant == one.name), "not run")
    if settings.bits == "int4":
        return "larger than the one that ships"
    slower = timed.speed(one.name, winner.name).value
    return f"{ratio_text(slower)} of the shipped one's speed"


def most(settings: Settings) -> str:
    return "the smallest" if settings.bits == "int4" else f"the fastest (within {TIE - 1:.0%})"


def notes_of(winner: Candidate, timed: LatencyReport) -> tuple[str, ...]:
    """A float graph that is faster is named, not shipped: it is not what was asked for."""
    notes = []
    if FLOAT in {each.variant for each in timed.latencies} and timed.faster_beyond_noise(
        FLOAT, winner.name
    ):
        ratio = timed.speed(FLOAT, winner.name).value
        notes.append(
            f"the float32 ONNX graph is {ratio_text(ratio)} as fast as the one that ships; "
            "`aitrade export-onnx` writes it"
        )
    return tuple(notes)


def mend(shop: Workshop, built: Sequence[Candidate], limit: float, say: Say) -> Candidate:
    """Give the layers that hurt most back to float in the candidate that flips least.

    Where that would leave hardly anything in INT8 the candidate ships as it is, and the
    report says what it costs.
    """
    closest = min((one for one in built if one.graph is not None), key=distance)
    if shop.flips is None or closest.flips is None or closest.flips <= limit:
        return closest
    say(f"finding the layers of `{closest.name}` to keep in float")
    flips = shop.flips
    kept = keep_in_float(
        shop.graph,
        closest.make,
        shop.windows,
        lambda graph: flips.share(start_onnx(graph)),
        limit,
    )
    if not kept.layers:
        return closest
    mended = shop.build(f"{closest.name}, {len(kept.layers)} in float", closest.make, kept.layers)
    covered = mended.covered
    return mended if covered is not None and covered.int8_share >= LEAST_MENDED else closest


def distance(one: Candidate) -> float:
    return 0.0 if one.flips is None else one.flips
