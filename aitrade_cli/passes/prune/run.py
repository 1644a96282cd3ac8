"""`prune`: remove units or weights in rounds, train what is left towards the parent, judge it.

Three stretches of bars are kept apart: units are ranked on the first, rounds are watched on the
second, and only the result is judged on the third.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import zstandard
from torch import nn

from aitrade_cli.fidelity.coverage import Coverage
from aitrade_cli.inference.latency import LatencyReport
from aitrade_cli.model.artefact import Artefact, TorchWeights
from aitrade_cli.model.card import Card
from aitrade_cli.model.pruning.counting import macs, parameters
from aitrade_cli.model.pruning.graph import fit_for_tracing
from aitrade_cli.model.pruning.masks import zeros_of
from aitrade_cli.passes.equity import Equity
from aitrade_cli.passes.prune.job import Cutting, Job, set_up
from aitrade_cli.passes.prune.masks import mask_weights
from aitrade_cli.passes.prune.report import Pace, PruneReport
from aitrade_cli.passes.prune.rounds import remove_units
from aitrade_cli.passes.prune.settings import Settings
from aitrade_cli.passes.ship import Change, Shipped, ship, timing_windows, weight_bytes
from aitrade_cli.passes.taught import taught_card, taught_on

Say = Callable[[str], None]
BATCHES: Final = (1, 256)
ZSTD_LEVEL: Final = 3


@dataclass(frozen=True, slots=True)
class PrunedArtefact:
    """The artefact's bytes with its verdict inside, the report, two curves."""

    data: bytes
    report: PruneReport
    equities: tuple[Equity, ...]


def prune_artefact(
    source: Artefact, settings: Settings, output: str, say: Say = lambda _: None
) -> PrunedArtefact:
    """Prune a model, train it where asked, and judge it against its dense parent.

    Args:
        source: torch weights; left as it was.
        settings: what was asked for.
        output: name of the file that will be written, for the report.
        say: told what is happening.

    Raises:
        NotPrunable: the source is ONNX, TorchScript or an exported program.
        NoTrainingBars: training was asked for and there are no bars to train on.
        BadInput: model or bars cannot be used.
    """
    job = set_up(source, settings)
    if settings.structured is not None:
        made = remove_units(job, settings, say)
    else:
        made = mask_weights(job, settings, say)
    weights = TorchWeights(dict(made.network.state_dict()))
    card = replace(card_of(job), arch=made.arch)
    artefact = Artefact(card, weights, name=output, arch_given=source.arch_given)
    say("judging the result")
    change = change_of(job, made, artefact, settings)
    shipped = ship(change, timing_windows(job.evidence, source, settings.seed), say)
    return PrunedArtefact(
        shipped.data, report_of(job, made, artefact, settings, shipped), shipped.equities
    )


def card_of(job: Job) -> Card:
    """The source's card; where it was trained, with what was seen since."""
    if job.tutor is None:
        return job.source.card
    return taught_card(job.source.card, job.tutor.material, job.evidence)


def change_of(job: Job, made: Cutting, artefact: Artefact, settings: Settings) -> Change:
    before, after = parameters(job.network), parameters(made.network)
    taught = {} if job.tutor is None else taught_on(job.tutor.material, settings.data)
    gone = before - after + zeros_in(made.network) - zeros_in(job.network)
    return Change(
        source=job.source,
        made=artefact,
        command="prune",
        settings={**settings.as_history(), **taught},
        measurements={
            "parameters": [before, after],
            "rounds": [[one.flips_before, one.flips_after, one.epochs] for one in made.rounds],
        },
        evidence=job.evidence,
        coverage=Coverage(
            parameters_total=before,
            parameters_changed=max(0, min(gone, before)),
            kept=made.untouched,
        ),
        size_bytes=(weight_bytes(job.source), weight_bytes(artefact)),
        size_note="tensors without the card",
        asked_by_name=settings.structured is None,
        budget=settings.budget,
        costs=settings.costs,
        effort=settings.effort,
        seed=settings.seed,
        batches=BATCHES,
    )


def report_of(
    job: Job, made: Cutting, artefact: Artefact, settings: Settings, shipped: Shipped
) -> PruneReport:
    time, features = job.shape
    window = fit_for_tracing(np.zeros((1, time, features), dtype=np.float32))
    return PruneReport(
        source=job.source.name,
        output=artefact.name,
        way=settings.way,
        ranking=made.ranking,
        parameters_before=parameters(job.network),
        parameters_after=parameters(made.network),
        zeros=zeros_in(made.network),
        macs_before=macs(job.network, window),
        macs_after=macs(made.network, window),
        weight_bytes_before=weight_bytes(job.source),
        weight_bytes_after=weight_bytes(artefact),
        compressed_bytes_before=compressed_bytes(job.network),
        compressed_bytes_after=compressed_bytes(made.network),
        file_bytes=len(shipped.data),
        layers=made.layers,
        untouched=made.untouched,
        rounds=made.rounds,
        paces=tuple(pace_of(shipped.timed, batch) for batch in BATCHES),
        equivalence=shipped.equivalence,
        notes=notes_of(job, made, settings),
    )


def zeros_in(network: nn.Module) -> int:
    """Zeros among matrices and kernels."""
    return sum(one.zeros for one in zeros_of(network))


def compressed_bytes(network: nn.Module) -> int:
    """What zstd makes of the tensors: zeros pack well, other floats hardly at all."""
    packer = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    raw = b"".join(value.detach().numpy().tobytes() for value in network.state_dict().values())
    return len(packer.compress(raw))


def pace_of(timed: LatencyReport, batch: int) -> Pace:
    before, after = timed.latency("before", batch), timed.latency("after", batch)
    speed = timed.speed("after", batch=batch)
    return Pace(
        batch=batch,
        latency_us_before=before.latency_us_p50,
        latency_us_after=after.latency_us_p50,
        speedup=speed.value,
        speedup_low=speed.interval.low,
        speedup_high=speed.interval.high,
        noise_band=timed.band(batch),
    )


def notes_of(job: Job, made: Cutting, settings: Settings) -> tuple[str, ...]:
    notes = [f"bars: {job.evidence.note}", *made.notes]
    if job.tutor is not None:
        notes.append(f"trained on: {job.tutor.note}")
    if settings.structured is None:
        notes.append(
            "no gain on CPU: zeros are stored and multiplied like any number, so the file is as"
            " large and the model as fast as before; zeros only make it compress better"
        )
    return tuple(notes)
