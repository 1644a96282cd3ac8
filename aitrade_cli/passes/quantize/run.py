"""`quantize`: build candidates, keep those that decide alike, time them, judge the fastest.

Three stretches of bars are kept apart: ranges are calibrated on the first, candidates are
chosen on the second, and only the one that is shipped is judged on the third.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.model.artefact import Artefact, OnnxGraph
from aitrade_cli.model.export import export_onnx
from aitrade_cli.model.quantization.prepare import prepare
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.equity import Equity
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.quantize.candidates import Candidate, Workshop, build_all
from aitrade_cli.passes.quantize.choice import Choice, choose
from aitrade_cli.passes.quantize.report import QuantizeReport
from aitrade_cli.passes.quantize.settings import Settings
from aitrade_cli.passes.sample import Evidence, calibration_windows, gather
from aitrade_cli.passes.ship import FEW, Change, float32_bytes, ship
from aitrade_cli.passes.taught import taught_card, taught_on
from aitrade_cli.units import share_text

Say = Callable[[str], None]
LITTLE: Final = 0.02  # biases and scales stay float in every technique


class NothingQuantized(BadInput):
    """No candidate could be built."""

    default_hint = "see `aitrade inspect` for the model's operators"

    def __init__(self, name: str, candidates: Sequence[Candidate]) -> None:
        told = "; ".join(f"{one.name}: {one.failed}" for one in candidates)
        super().__init__(f"`{name}` cannot be quantized: {told}")


@dataclass(frozen=True, slots=True)
class Bench:
    """What came in and what it is compared on."""

    source: Artefact
    exported: Artefact
    running: Remembered
    evidence: Evidence
    shop: Workshop


@dataclass(frozen=True, slots=True)
class Quantized:
    """What came of it: the artefact's bytes with its verdict inside, the report, two curves."""

    data: bytes
    report: QuantizeReport
    equities: tuple[Equity, ...]


def quantize_artefact(
    source: Artefact, settings: Settings, output: str, say: Say = lambda _: None
) -> Quantized:
    """Ship the fastest candidate that decides as the source does.

    Args:
        source: torch weights or ONNX.
        settings: what was asked for.
        output: name of the file that will be written, for the report.
        say: told what is happening.

    Raises:
        NothingQuantized: no candidate could be built.
        BadInput: bars or model cannot be used.
    """
    say("exporting to ONNX")
    bench = set_up(source, settings)
    built = build_all(bench.shop, settings, say)
    if not any(one.graph for one in built):
        raise NothingQuantized(source.name, built)
    choice = choose(bench.shop, built, settings, say)
    if settings.qat or missed(choice, settings):
        choice = choose_tuned(bench, built, choice, settings, say)
    say("judging the one that ships")
    return ship_graph(bench, choice, settings, output, say)


def missed(choice: Choice, settings: Settings) -> bool:
    """Rounding alone flips more than a budget that was set allows."""
    flips = choice.winner.flips
    budgeted = settings.bits in {"int8", "int4"} and settings.budget.max_flips is not None
    return budgeted and flips is not None and flips > settings.flips_allowed


def choose_tuned(
    bench: Bench, built: Sequence[Candidate], choice: Choice, settings: Settings, say: Say
) -> Choice:
    """Choose once more, with the candidates of fine-tuned weights among the others."""
    from aitrade_cli.passes.quantize.qat import (
        SUFFIX,
        fine_tune,
    )  # training loads only where it is wanted

    tuned = fine_tune(bench.source, bench.shop, settings, say)
    if not tuned.candidates:
        return replace(choice, notes=(*choice.notes, *tuned.notes))
    least = {
        which: min(one.flips for one in found if one.flips is not None)
        for which, found in (("before", built), ("after", tuned.candidates))
        if any(one.flips is not None for one in found)
    }
    # Asked for by name, the fine-tuned weights are shipped; else they compete.
    entered = tuned.candidates if settings.qat else (*built, *tuned.candidates)
    again = choose(bench.shop, entered, settings, say)
    told = (
        f"fine-tuned in {settings.bits}: the fewest flips on the choosing windows went from"
        f" {share_text(least['before'], 2)} to {share_text(least['after'], 2)}"
        if len(least) == 2
        else f"fine-tuned in {settings.bits}; without a decision rule flips are not counted"
    )
    others = tuple(line for line in choice.lines if line.name not in names_in(again))
    lines = (*(replace(line, shipped=False) for line in others), *again.lines)
    material = tuned.material if SUFFIX in again.winner.name else None
    return replace(again, lines=lines, notes=(*again.notes, told), material=material)


def names_in(choice: Choice) -> set[str]:
    return {line.name for line in choice.lines}


def set_up(source: Artefact, settings: Settings) -> Bench:
    """Export where needed, gather bars, start the source."""
    evidence = gather(source.card, settings.data, settings.symbol)  # bad bars are told at once
    if isinstance(source.network, OnnxGraph):
        exported = source
    else:
        exported, _ = export_onnx(source, exporter="auto")
    running = Remembered(start(source))
    shape = input_shape(exported.card)
    calibration, flips, lacking = None, None, evidence.note
    few = np.random.default_rng(settings.seed).standard_normal((FEW, shape.window, shape.features))
    few = few.astype(np.float32)
    if evidence.sample is not None:
        earlier, choosing = calibration_windows(evidence.sample, shape.window)
        calibration = earlier if len(earlier) else None
        lacking = f"too few bars for windows of {shape.window}"
        few = np.ascontiguousarray((earlier if len(earlier) else choosing)[-FEW:])
        if source.card.decision is not None:
            flips = Flips.of(running, choosing, source.card.decision)
    graph = prepare(graph_of(exported), few[:2])
    shop = Workshop(graph, few, calibration, lacking, flips)
    return Bench(source, exported, running, evidence, shop)


def graph_of(artefact: Artefact) -> OnnxGraph:
    if not isinstance(artefact.network, OnnxGraph):
        raise TypeError(f"{artefact.name} is no ONNX graph")
    return artefact.network


def ship_graph(
    bench: Bench, choice: Choice, settings: Settings, output: str, say: Say
) -> Quantized:
    """Measure and judge the chosen graph, and put the verdict inside the artefact."""
    winner, graph = choice.winner, choice.graph
    # Candidates were raced in ONNX Runtime, whatever the source was best in.
    card = replace(bench.exported.card, sample=bench.source.card.sample, runs_on=None)
    taught: dict[str, str | None] = {}
    if choice.material is not None:
        card = taught_card(card, choice.material, bench.evidence)
        taught = taught_on(choice.material, settings.data)
    size = float32_bytes(bench.source, graph_of(bench.exported))
    change = Change(
        source=bench.source,
        made=Artefact(card, graph, name=output),
        command="quantize",
        settings={**settings.as_history(), **taught},
        measurements={"candidate": winner.name, "in_float": list(winner.kept)},
        evidence=bench.evidence,
        coverage=coverage_of(winner),
        size_bytes=(size, len(graph.proto_bytes)),
        size_note="float32 tensors of the source, ONNX without its card",
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.seed,
        source_running=bench.running,
    )
    shipped = ship(change, bench.shop.windows, say)
    report = QuantizeReport(
        source=bench.source.name,
        output=output,
        bits=settings.bits,
        float32_bytes=size,
        onnx_bytes=len(graph.proto_bytes),
        file_bytes=len(shipped.data),
        candidates=choice.lines,
        flips_allowed=settings.flips_allowed,
        chosen_on_windows=0 if bench.shop.flips is None else len(bench.shop.flips.windows),
        equivalence=shipped.equivalence,
        notes=notes_of(bench, choice),
    )
    return Quantized(shipped.data, report, shipped.equities)


def coverage_of(winner: Candidate) -> Coverage | None:
    covered = winner.covered
    if covered is None:
        return None
    return Coverage(
        parameters_total=covered.parameters_total,
        parameters_changed=min(covered.changed, covered.parameters_total),
        macs_total=covered.macs_total,
        macs_changed=covered.macs_int8,
        kept=winner.kept,
    )


def notes_of(bench: Bench, choice: Choice) -> tuple[str, ...]:
    notes = [*choice.notes]
    if bench.evidence.note:
        notes.append(f"bars: {bench.evidence.note}")
    covered = choice.winner.covered
    if covered is not None and covered.computed_share < covered.stored_share - LITTLE:
        notes.append(
            f"{share_text(covered.stored_share)} of the weights are stored in fewer bits and "
            f"{share_text(covered.computed_share)} are multiplied as integers: the rest is "
            "widened to float32 once, when the file is opened"
        )
    return tuple(notes)
