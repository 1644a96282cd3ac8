"""`compile`: every backend here, one process each; the fastest that is equivalent wins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aitrade_cli.errors import BadInput, Missing
from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.files import sha256
from aitrade_cli.inference.latency import LatencyReport
from aitrade_cli.inference.latency_report import Judgement
from aitrade_cli.model.artefact import Artefact, NativePackage, OnnxGraph, TorchWeights
from aitrade_cli.model.compilation.ledger import ledger_path, remember
from aitrade_cli.model.compilation.torchscript import LEGACY
from aitrade_cli.model.network import NativeProgram
from aitrade_cli.model.onnx_coverage import coverage as counted
from aitrade_cli.model.runtimes import start
from aitrade_cli.model.runtimes.wish import way_of
from aitrade_cli.passes.compile.candidates import Compiled, Yard, build_one
from aitrade_cli.passes.compile.choice import Verdicts, batch_lines, judge_all, line_of
from aitrade_cli.passes.compile.report import CompileReport
from aitrade_cli.passes.compile.settings import CompileSettings
from aitrade_cli.passes.equity import Equity
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.sample import calibration_windows, gather
from aitrade_cli.passes.ship import Change, Shipped, ship, timing_windows, weight_bytes
from aitrade_cli.passes.timing import race_artefacts

Say = Callable[[str], None]
BEFORE = "the source"
ENDINGS = {NativePackage: ".pt2", OnnxGraph: ".onnx"}


class NothingCompiled(BadInput):
    """A backend was asked for by name and gave nothing that can be shipped."""

    default_hint = "leave `--backend` out: every backend here is tried"

    def __init__(self, name: str, candidates: Sequence[Compiled]) -> None:
        told = "; ".join(f"{one.name}: {one.failed or 'not equivalent'}" for one in candidates)
        super().__init__(f"`{name}` was not compiled: {told}")


class BackendMissing(Missing):
    """Every backend that was asked for by name is missing here."""

    default_hint = NothingCompiled.default_hint

    def __init__(self, candidates: Sequence[Compiled]) -> None:
        told = "; ".join(f"`{one.backend}`: {one.failed}" for one in candidates)
        super().__init__(f"no backend that was asked for is here: {told}")


@dataclass(frozen=True, slots=True)
class CompiledModel:
    """What came of it; ``data`` is None where the source was kept."""

    data: bytes | None
    ending: str
    report: CompileReport
    equities: tuple[Equity, ...]


def compile_artefact(
    source: Artefact,
    settings: CompileSettings,
    name_of: Callable[[str], str],
    say: Say = lambda _: None,
) -> CompiledModel:
    """Try the backends, keep the fastest whose outputs and decisions are the source's.

    Args:
        source: torch weights, an exported program, TorchScript or ONNX.
        settings: what was asked for.
        name_of: the file that will be written, from its ending.
        say: told what is happening.

    Raises:
        NativeProgram: the source is a compiled package; its parent is named.
        BackendMissing: none of the backends asked for by name is here.
        NothingCompiled: they gave nothing to ship.
    """
    if isinstance(source.network, NativePackage):
        raise NativeProgram(source)
    yard = set_up(source, settings)
    built = build_all(yard, settings, say)
    runnable = {one.name: one.made for one in built if one.made is not None}
    if built and all(one.absent for one in built) and settings.backends:
        raise BackendMissing(built)
    if settings.backends and not any(one.made is not None and one.ships for one in built):
        raise NothingCompiled(source.name, built)
    timed = race_artefacts(
        {BEFORE: source, **runnable},
        yard.windows,
        batches=yard.batches,
        effort=settings.effort,
        seed=settings.seed,
        say=say,
    )
    verdicts = judge_all(built, timed, settings)
    return finish(yard, verdicts, settings, name_of, say)


def build_all(yard: Yard, settings: CompileSettings, say: Say) -> list[Compiled]:
    """Every backend in every precision asked for; one that is absent is listed once."""
    built: list[Compiled] = []
    for backend in settings.wanted():
        reason = backend.why_not(yard.source)
        if reason is not None:
            built.append(Compiled(backend.name, backend.name, "", failed=reason, absent=True))
            continue
        for precision in backend.precisions:
            if precision in settings.precisions:
                say(f"compiling with {backend.name}, {precision}")
                built.append(build_one(yard, backend, precision))
    return built


def set_up(source: Artefact, settings: CompileSettings) -> Yard:
    """Gather bars, start the source."""
    evidence = gather(source.card, settings.data, settings.symbol)  # bad bars are told at once
    running = Remembered(start(source))
    windows = timing_windows(evidence, source, settings.seed)
    rows, flips = None, None
    if evidence.sample is not None:
        rows = evidence.sample.calibration.features
        _, choosing = calibration_windows(evidence.sample, windows.shape[1])
        if source.card.decision is not None and len(choosing):
            flips = Flips.of(running, choosing, source.card.decision)
    return Yard(source, running, evidence, windows, rows, flips, settings.batches, settings.seed)


def finish(
    yard: Yard,
    verdicts: Verdicts,
    settings: CompileSettings,
    name_of: Callable[[str], str],
    say: Say,
) -> CompiledModel:
    """Judge and write the winner, or say why the source was kept."""
    winner, shipped, output, ending = verdicts.winner, None, None, ""
    slower: list[int] = []
    notes = [f"bars: {yard.evidence.note}"] if yard.evidence.note else []
    if winner is not None and winner.made is not None:
        ending = ENDINGS.get(type(winner.made.network), ".pt")
        output = name_of(ending)
        say("judging the one that ships")
        shipped = ship_winner(yard, winner, verdicts.timed, settings, output, say)
        slower = [b for b in settings.batches if shipped.timed.judge("after", batch=b) == "slower"]
        notes += [f"timed once more by itself it is slower at batch {batch}" for batch in slower]
        if ending == ".pt2":
            notes.append(recorded(shipped.data))
    if any(one.backend == "torchscript" and one.made for one in verdicts.built):
        notes.append(LEGACY)
    report = CompileReport(
        source=yard.source.name,
        baseline=way_of(yard.source).runtime,
        baseline_batches=batch_lines(BEFORE, verdicts.timed, settings),
        output=output,
        file_bytes=None if shipped is None else len(shipped.data),
        sha256=None if shipped is None else sha256(shipped.data),
        winner=None if winner is None else winner.name,
        gained=verdicts.gained and not slower,
        asked_by_name=settings.by_name,
        kept=verdicts.kept,
        batches=settings.batches,
        flips_allowed=settings.flips_allowed,
        chosen_on_windows=0 if yard.flips is None else len(yard.flips.windows),
        candidates=tuple(line_of(one, verdicts) for one in verdicts.built),
        equivalence=None if shipped is None else shipped.equivalence,
        notes=tuple(notes),
    )
    if shipped is None:
        return CompiledModel(None, "", report, ())
    return CompiledModel(shipped.data, ending, report, shipped.equities)


def gaining_first(batches: tuple[int, ...], judged: Callable[[int], Judgement]) -> tuple[int, ...]:
    """The batches with one at which the winner gains in front: the gain gate looks at that one."""
    faster = [batch for batch in batches if judged(batch) == "faster"]
    if not faster or batches[0] in faster:
        return batches
    return (faster[0], *(batch for batch in batches if batch != faster[0]))


def ship_winner(
    yard: Yard,
    winner: Compiled,
    timed: LatencyReport,
    settings: CompileSettings,
    output: str,
    say: Say,
) -> Shipped:
    assert winner.made is not None  # only what was built can win
    card = replace(winner.made.card, sample=yard.source.card.sample)
    made = replace(winner.made, card=card, name=output)
    change = Change(
        source=yard.source,
        made=made,
        command="compile",
        settings=settings.as_history(yard.source.name),
        measurements={"backend": winner.backend, "precision": winner.precision},
        evidence=yard.evidence,
        coverage=coverage_of(yard),
        size_bytes=(weight_bytes(yard.source), weight_bytes(made)),
        size_note="weights or graph without the card; of a package, all of its machine code",
        asked_by_name=settings.by_name,
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.seed,
        source_running=yard.running,
        batches=gaining_first(
            settings.batches, lambda batch: timed.judge(winner.name, batch=batch)
        ),
    )
    return ship(change, yard.windows, say)


def coverage_of(yard: Yard) -> Coverage | None:
    """No weight changes; every multiplication is another compiler's. None where not counted."""
    graph = next((one for one in yard.exported.values() if isinstance(one, Artefact)), None)
    if graph is None or not isinstance(graph.network, OnnxGraph):
        return whole(yard.source)
    found = counted(graph.network, graph.network, np.ascontiguousarray(yard.windows[:1]))
    return Coverage(found.parameters_total, 0, found.macs_total, found.macs_total)


def whole(source: Artefact) -> Coverage | None:
    if not isinstance(source.network, TorchWeights):
        return None
    total = sum(tensor.numel() for tensor in source.network.state_dict.values())
    return Coverage(total, 0, 1, 1, ("MACs were not counted: the whole program was compiled",))


def recorded(data: bytes) -> str:
    """Write down that this host compiled these bytes; what to do where that fails."""
    try:
        remember(sha256(data))
    except OSError as error:
        return (
            f"`{ledger_path()}` cannot be written ({error.strerror}): "
            f"`aitrade bench` wants `--trust-native {sha256(data)}`"
        )
    return f"its sha256 is recorded in `{ledger_path()}`: `aitrade bench` runs it on this host"
