"""From settings to an artefact: bars, network, choices, the loop, the judge, the files."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import nn

from aitrade_cli.lock import Lock
from aitrade_cli.market.deflated import Deflated
from aitrade_cli.model.artefact import Artefact, TorchWeights, dump
from aitrade_cli.model.card import Step
from aitrade_cli.model.provenance import versions
from aitrade_cli.passes.train.judge import Judged, card_of, deflated_of, judge
from aitrade_cli.passes.train.kept import Kept, kept_of, taken
from aitrade_cli.passes.train.learning import Learned, learn
from aitrade_cli.passes.train.network import start_of
from aitrade_cli.passes.train.parts import callbacks_of
from aitrade_cli.passes.train.prepare import Prepared, prepare, resolved
from aitrade_cli.passes.train.recipe_file import as_toml
from aitrade_cli.passes.train.report import TrainReport
from aitrade_cli.passes.train.settings import Settings
from aitrade_cli.training.criteria import parse_criteria
from aitrade_cli.training.distributed.group import Seat
from aitrade_cli.training.goal import Fit
from aitrade_cli.training.run import device_of, threads_for
from aitrade_cli.training.trading import objective_of
from aitrade_cli.training.walk import FoldExamples

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """One fold's network and how it came out."""

    network: nn.Module
    learned: Learned
    judged: Judged
    seconds: float
    resumed_at: int = 0  # steps of earlier processes

    @property
    def fit(self) -> Fit:
        return self.learned.fit


@dataclass(frozen=True, slots=True)
class Made:
    """The artefact's bytes, the report, and what the pictures show."""

    data: bytes
    report: TrainReport
    judged: Judged


def train_here(
    settings: Settings, output: str, say: Say = lambda _: None, seat: Seat | None = None
) -> Made:
    """Train one network a fold, all from the same start; the last, with most bars, is kept.

    Args:
        settings: what was asked for.
        output: name of the file that the artefact will be written to.
        say: told what is happening.
        seat: of this process, where it is one of several; what it returns counts in process 0.

    Raises:
        BadInput, Refused: see `prepare`; a loss that is not finite.
        RunInUse: another process trains in the run's folder.
    """
    ready = prepare(settings, say, 1 if seat is None else seat.world)
    first = seat is None or seat.rank == 0
    kept = kept_of(ready)
    with taken(ready, kept if first else None) as lock:
        judged = [
            train_earlier(ready, number, parts, say, seat)
            for number, parts in enumerate(ready.split.earlier, start=1)
        ]
        trained = train_last(ready, kept, say, seat, lock)
    deflated = deflated_of(trained.network, ready.objective, trained.fit.epochs)
    artefact = artefact_of(ready, trained, [one.figures for one in judged], deflated)
    data = dump(artefact)
    report = report_of(ready, trained, judged, deflated, output, len(data))
    return Made(data, report, trained.judged)


def train_last(
    ready: Prepared, kept: Kept | None, say: Say, seat: Seat | None, lock: Lock | None
) -> Trained:
    """The fold with most bars, from where an earlier run of it was cut off."""
    settings, network = ready.settings, ready.start.network
    callbacks = callbacks_of(settings, ready.start.arch.name, say, seat)
    state = None
    if kept is not None:
        state, keeper = kept.taken_up(say, lock)
        callbacks = (*callbacks, keeper)
    began = time.perf_counter()
    whole, learned = learn(ready, network, ready.objective, callbacks, seat, state)
    seconds = time.perf_counter() - began
    judged = judge(whole, ready.parts, settings.costs)
    return Trained(whole, learned, judged, seconds, 0 if state is None else state.position.step)


def train_earlier(
    ready: Prepared, number: int, parts: FoldExamples, say: Say, seat: Seat | None
) -> Judged:
    """An earlier fold, from the same start: how the recipe does on other bars."""
    settings = ready.settings
    network = start_of(settings, ready.plan, ready.start.base).network
    objective = objective_of(parts, settings.costs, stride=settings.values["split.stride"])
    only_progress = replace(settings, run_dir=None)
    callbacks = callbacks_of(only_progress, f"fold {number}", say, seat)
    whole, _ = learn(ready, network, objective, callbacks, seat)
    return judge(whole, parts, settings.costs)


def artefact_of(
    ready: Prepared, trained: Trained, earlier: list[dict[str, Any]], deflated: Deflated | None
) -> Artefact:
    """A complete artefact: whatever comes next needs no other file."""
    settings, base = ready.settings, ready.start.base
    told = {
        "seed": ready.recipe.seed,
        "bars": settings.values["data"],
        "bars_sha256": ready.bars.source_sha256,
        "symbol": settings.values["symbol"] or None,
        "plan": asdict(ready.plan),
        "recipe": asdict(ready.recipe),
        "stride": settings.values["split.stride"],
        "threads": threads_for(trained.network),
        "file": as_toml(resolved(ready)),
    }
    figures = {
        "training_windows": len(ready.objective),
        "validation_windows": len(ready.parts.validation),
        "best_epoch": trained.fit.best.number,
        **trained.judged.figures,
    }
    measurements = {
        "held_out": figures,
        "walk_forward": earlier,
        "validation_looks": len(trained.fit.epochs),
        "validation_deflated": None if deflated is None else deflated.probability,
        **trained.learned.as_data(),
    }
    step = Step("train", told, measurements, versions(), None if base is None else base.sha256)
    card = card_of(ready.start.arch, ready.parts, ready.bars, step, ready.split.until_ns)
    if base is not None:
        card = replace(card, history=(*base.card.history, step))
    weights = {name: value.cpu() for name, value in trained.network.state_dict().items()}
    return Artefact(card, TorchWeights(weights))


def report_of(
    ready: Prepared,
    trained: Trained,
    earlier: list[Judged],
    deflated: Deflated | None,
    output: str,
    size: int,
) -> TrainReport:
    fit, recipe, tuned = trained.fit, ready.recipe, trained.learned.tuned
    criteria = parse_criteria(recipe.early_stop, recipe.patience)
    weights = list(trained.network.parameters())
    run_dir = ready.settings.run_dir
    return TrainReport(
        output=output,
        arch=ready.start.arch.name,
        parameters=sum(one.numel() for one in weights),
        trained=sum(one.numel() for one in weights if one.requires_grad)
        if tuned is None
        else tuned.trained,
        symbol=ready.bars.symbol,
        training_windows=len(ready.objective),
        validation_windows=len(ready.parts.validation),
        epochs=fit.epochs,
        best_epoch=fit.best.number,
        steps=fit.steps,
        skipped=fit.skipped,
        stopped=fit.stopped,
        limits_held=criteria.allows(fit.best),
        test=trained.judged.figures,
        walk_forward=tuple(one.figures for one in earlier),
        validation=deflated,
        leaks=ready.leaks,
        precision=ready.found.precision,
        batch=ready.found.batch,
        device=device_of(trained.network).type,
        threads=min(threads_for(trained.network), torch.get_num_threads()),
        resumed_at=trained.resumed_at,
        seconds=trained.seconds,
        windows_per_s=windows_learned(ready, trained) / max(trained.seconds, 1e-9),
        file_bytes=size,
        run_dir=None if run_dir is None else str(run_dir),
        notes=(*ready.split.notes, *trained.learned.notes),
    )


def windows_learned(ready: Prepared, trained: Trained) -> int:
    """Windows that this process' own steps learned from."""
    windows, batch = len(ready.objective), ready.recipe.batch

    def until(step: int) -> int:
        passes, rest = divmod(step, math.ceil(windows / batch))
        return passes * windows + rest * batch

    return until(trained.fit.steps) - until(trained.resumed_at)
