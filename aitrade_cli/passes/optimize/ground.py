"""What came in, and everything that candidates are tried on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from aitrade_cli.fidelity.cases import input_shape
from aitrade_cli.fidelity.outputs import Remembered
from aitrade_cli.model.artefact import Artefact, dump
from aitrade_cli.model.provenance import versions
from aitrade_cli.model.runtimes import start
from aitrade_cli.passes.flips import Flips
from aitrade_cli.passes.optimize.forms import Yard
from aitrade_cli.passes.optimize.growing import Nursery, nursery_of
from aitrade_cli.passes.optimize.settings import Settings
from aitrade_cli.passes.sample import Evidence, calibration_windows, gather
from aitrade_cli.passes.ship import timing_windows
from aitrade_cli.system.host import describe_host
from aitrade_cli.training.material import material_of

FORMAT: Final = 1  # of a study; points of another one are read otherwise


@dataclass(frozen=True, slots=True)
class Ground:
    """What came in, and what everything is tried on."""

    source: Artefact
    running: Remembered
    evidence: Evidence
    yard: Yard
    nursery: Nursery


def architecture_of(source: Artefact) -> str:
    return source.card.arch.name if source.card.arch is not None else ""


def prepare_ground(source: Artefact, settings: Settings) -> Ground:
    """Gather bars, start the source, ask it for its answers."""
    evidence = gather(source.card, settings.data, settings.symbol)
    running = Remembered(start(source))
    windows = timing_windows(evidence, source, settings.seed)
    calibration, flips = None, None
    if evidence.sample is not None:
        earlier, choosing = calibration_windows(evidence.sample, input_shape(source.card).window)
        calibration = earlier if len(earlier) else None
        if source.card.decision is not None and len(choosing):
            flips = Flips.of(running, choosing, source.card.decision)
    yard = Yard(
        source=dump(source),
        source_arch=architecture_of(source) if source.arch_given else None,
        windows=windows,
        calibration=calibration,
        flips=flips,
        threads=settings.threads,
        seed=settings.seed,
        effort=settings.effort,
    )
    nursery = nursery_of(
        source,
        lambda: material_of(source.card, settings.data, settings.symbol),
        flips,
        settings.seed,
    )
    return Ground(source, running, evidence, yard, nursery)


def key_of(ground: Ground, settings: Settings) -> dict[str, Any]:
    """What two runs must share to be one search."""
    sample, material = ground.evidence.sample, ground.nursery.material
    return {
        "format": FORMAT,
        "symbol": settings.symbol,
        "versions": versions(),
        "processor": list(describe_host().instructions),
        "kinds": list(ground.nursery.kinds),
        "source": ground.source.sha256,
        "bars": None if sample is None else sample.source_sha256,
        "training_bars": None if material is None else material.bars_sha256,
        "flips_allowed": settings.flips_allowed,
        "threads": list(settings.threads),
        "seed": settings.seed,
    }
