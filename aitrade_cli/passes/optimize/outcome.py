"""What is told of a finished search, and what the artefact's history keeps of it."""

from __future__ import annotations

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.passes.optimize.final import Front
from aitrade_cli.passes.optimize.forms import FLOAT, STORED
from aitrade_cli.passes.optimize.ground import Ground
from aitrade_cli.passes.optimize.points import Point, allowed
from aitrade_cli.passes.optimize.report import OptimizeReport, SingleCommand, front_lines
from aitrade_cli.passes.optimize.searching import Search
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.optimize.shapes import DENSE
from aitrade_cli.passes.ship import Change, Shipped, float32_bytes, weight_bytes
from aitrade_cli.passes.taught import taught_on
from aitrade_cli.units import ratio_text


def change_of(ground: Ground, made: Artefact, chosen: Point, settings: Settings) -> Change:
    """The chosen point as a change that is put before the gates."""
    return Change(
        source=ground.source,
        made=made,
        command="optimize",
        settings=settings.as_history() | bars_of(ground, settings, chosen),
        measurements={
            "network": chosen.shape,
            "form": chosen.form,
            "expected_flips": chosen.flips,
            "graph_sha256": chosen.file.removesuffix(".bin"),
        },
        evidence=ground.evidence,
        coverage=coverage_of(ground.source, chosen),
        size_bytes=(weight_bytes(ground.source), chosen.size_bytes),
        size_note="weights of the source as stored, ONNX without its card",
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.seed,
        source_running=ground.running,
    )


def bars_of(ground: Ground, settings: Settings, chosen: Point) -> dict[str, str | None]:
    """The bars that what ships was taught on; nothing where it was not taught."""
    material = ground.nursery.material
    if material is None or chosen.shape == DENSE.name:
        return {}
    return taught_on(material, settings.data)


def coverage_of(source: Artefact, chosen: Point) -> Coverage | None:
    """Another network, or other numbers, change every weight; another runtime changes none."""
    if chosen.shape == DENSE.name and chosen.form.startswith((FLOAT, STORED)):
        return None
    parameters = float32_bytes(source) // 4
    return Coverage(parameters_total=parameters, parameters_changed=parameters)


def report_of(
    ground: Ground,
    settings: Settings,
    search: Search,
    front: Front,
    chosen: Point,
    shipped: Shipped,
    seconds: float,
) -> OptimizeReport:
    """Everything that is shown; the caller fills in names of files."""
    flips = ground.yard.flips
    return OptimizeReport(
        source=ground.source.name,
        output="-",
        study="-",
        minimize=settings.minimize,
        flips_allowed=settings.flips_allowed,
        seconds=seconds,
        trials_now=len(search.lines),
        trials_all=len(search.study.answered),
        front=front_lines(
            front.points,
            [allowed(point, settings) for point in front.points],
            front.points.index(chosen) + 1,
        ),
        shapes=tuple(search.lines),
        singles=tuple(
            SingleCommand(name, point.form, point.speedup, point.flips)
            for name, point in front.singles.items()
        ),
        chosen_on_windows=0 if flips is None else len(flips.windows),
        file_bytes=len(shipped.data),
        equivalence=shipped.equivalence,
        notes=notes_of(ground, settings, front, chosen),
    )


def notes_of(ground: Ground, settings: Settings, front: Front, chosen: Point) -> tuple[str, ...]:
    """What a reader must know that no table says."""
    notes = [f"bars: {ground.evidence.note}"]
    material = ground.nursery.material
    notes.append(ground.nursery.why_not if material is None else f"taught on {material.note}")
    if not allowed(chosen, settings):
        picked = any(allowed(point, settings) for point in front.points)
        notes.append(
            "the point that was picked is not expected to stay within the budget of flips"
            if picked
            else "no point is expected to stay within the budget of flips; the closest ships"
        )
    if chosen.shape == DENSE.name:
        notes.append("no smaller network decided alike and ran faster: the source's own ships")
    if chosen.threads > 1:
        notes.append(f"speed is over the source on one thread; what ships takes {chosen.threads}")
    alone = max((one.speedup for one in front.singles.values()), default=0.0)
    if alone > chosen.speedup:
        notes.append(
            f"a single command is faster, {ratio_text(alone)}, beyond the budget or as a tie"
        )
    return tuple(notes)
