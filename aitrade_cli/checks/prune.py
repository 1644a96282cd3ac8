"""Proof of M1 to M3: the real command's library call on the fixture models, measured here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import geometric_mean
from typing import Final

from aitrade_cli.checks.fixtures import MODELS, fixtures_folder, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.turns import effort_of
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.pruning.masks import apply, pattern_masks, weights_of
from aitrade_cli.passes.prune.report import PruneReport
from aitrade_cli.passes.prune.run import prune_artefact
from aitrade_cli.passes.prune.settings import Settings

SPARSITY: Final = 0.8
SHARE: Final = 0.5
MOST_PARAMETERS: Final = 0.40  # of the dense parent, half of its units gone
MOST_IN_TRANSFORMER: Final = 0.45  # its heads stay where they are worth more than other units
# Of the dense parent's speed, the upper end of the interval: a busy host must not fail a check.
LEAST_SPEED: Final = 1.2
LEAST_WIDE: Final = 1.6  # at batch 256
WIDE: Final = frozenset(("mlp", "tcn", "transformer", "lstm"))
LEAST_SAVED: Final = 0.6  # of the bytes
LEAST_AGREEMENT: Final = 0.95  # of decisions on held-out bars, after fine-tuning
CONDITIONS: Final = (
    "1 thread, one process a model, against eager float32 of the dense parent; speed at batch 1;"
    " size of the tensors; decisions on held-out bars"
)


def bars() -> str:
    """The bars that the fixture models were trained on."""
    return str(fixtures_folder() / "bars" / "eurusd_1h.parquet")


def weights_are_zeroed_by_size(quick: bool) -> CheckResult:
    """As many weights are zero as were asked for, and no run of four keeps more than two."""
    names = ("mlp",) if quick else ("mlp", "lstm", "transformer")
    settings = Settings(sparsity=SPARSITY, effort=effort_of(quick))
    reports = {name: run(name, settings) for name in names}
    bounds = [*(zeros_bound(name, report) for name, report in reports.items())]
    bounds += [pattern_bound(name) for name in names]
    return result_of(
        reports,
        bounds,
        f"{', '.join(names)}: {SPARSITY:.0%} of all weights set to zero, no training; zeros are"
        f" stored and multiplied, so no gain is expected; {CONDITIONS}",
    )


def units_are_removed(quick: bool) -> CheckResult:
    """Half of the units gone: each network is smaller, faster and, once trained, decides alike."""
    names = ("lstm", "tcn") if quick else MODELS
    settings = Settings(structured=SHARE, effort=effort_of(quick))
    if not quick:
        settings = replace(settings, finetune=True, data=bars())
    reports = {name: run(name, settings) for name in names}
    bounds = [parameters_bound(name, report) for name, report in reports.items()]
    bounds += [bound for name, report in reports.items() for bound in gain_bounds(name, report)]
    if not quick:
        bounds += [agreement_bound(name, report) for name, report in reports.items()]
    trained = "not fine-tuned in the quick check" if quick else "3 rounds of pruning and training"
    return result_of(reports, bounds, f"{', '.join(names)}: {trained}; {CONDITIONS}")


def sparsity_grows_while_training(quick: bool) -> CheckResult:
    """With a cubic schedule the sparsity arrives where it was asked to, and stays there."""
    names = ("mlp",) if quick else ("mlp", "lstm")
    settings = Settings(
        sparsity=SPARSITY,
        finetune=True,
        schedule="cubic",
        epochs=12,
        data=bars(),
        effort=effort_of(quick),
    )
    reports = {name: run(name, settings) for name in names}
    bounds = [
        bound
        for name, report in reports.items()
        for bound in (zeros_bound(name, report), agreement_bound(name, report))
    ]
    return result_of(
        reports,
        bounds,
        f"{', '.join(names)}: sparsity grows to {SPARSITY:.0%} over three quarters of"
        f" {settings.epochs} passes; no gain on CPU is expected; {CONDITIONS}",
    )


def run(name: str, settings: Settings) -> PruneReport:
    """Prune one fixture model."""
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    return prune_artefact(source, settings, f"{name}.pruned.pt").report


def result_of(
    reports: Mapping[str, PruneReport], bounds: list[Bound], conditions: str
) -> CheckResult:
    """Geometric means over the models; each of them as a case."""
    paces = [report.pace(1) for report in reports.values()]
    sizes = [report.weight_bytes_after / report.weight_bytes_before for report in reports.values()]
    return CheckResult(
        Measured(
            speedup=geometric_mean([pace.speedup for pace in paces]),
            speedup_low=geometric_mean([pace.speedup_low for pace in paces]),
            speedup_high=geometric_mean([pace.speedup_high for pace in paces]),
            memory_saved=1.0 - geometric_mean(sizes),
        ),
        tuple(bounds),
        conditions,
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def case_of(name: str, report: PruneReport) -> Case:
    """One model's figures, those at batch 256 in words."""
    saved = 1.0 - report.weight_bytes_after / report.weight_bytes_before
    told = (
        f"{report.pace(256).speedup:.2f}x at batch 256, {report.parameter_ratio:.1%} of the"
        f" parameters, {report.sparsity:.1%} zeros, {agreement(report):.2%} of decisions agree"
    )
    flips = [line.flips_before for line in report.rounds if line.flips_before is not None]
    if flips:
        told += f"; right after the last cut {flips[-1]:.1%} flipped on earlier windows"
    return Case(name, report.pace(1).speedup, saved, told)


def agreement(report: PruneReport) -> float:
    """Share of decisions that are as the parent's, on bars that neither was trained on."""
    decisions = report.equivalence.decisions
    return 0.0 if decisions is None or decisions.void else decisions.agreement


def zeros_bound(name: str, report: PruneReport) -> Bound:
    # Biases and norms are never zeroed, and count among the parameters.
    return Bound(f"{name} zeros", report.sparsity, SPARSITY - 0.01, "at_least", "share")


def parameters_bound(name: str, report: PruneReport) -> Bound:
    most = MOST_IN_TRANSFORMER if name == "transformer" else MOST_PARAMETERS
    return Bound(f"{name} parameters", report.parameter_ratio, most, "at_most", "of the parent")


def gain_bounds(name: str, report: PruneReport) -> list[Bound]:
    """What each model must gain by itself: a mean would hide one that gains nothing."""
    saved = 1.0 - report.weight_bytes_after / report.weight_bytes_before
    bounds = [
        Bound(f"{name} batch 1", report.pace(1).speedup_high, LEAST_SPEED, "at_least", "times"),
        Bound(f"{name} bytes saved", saved, LEAST_SAVED, "at_least", "share"),
    ]
    if name in WIDE:
        wide = report.pace(256).speedup_high
        bounds.append(Bound(f"{name} batch 256", wide, LEAST_WIDE, "at_least", "times"))
    return bounds


def agreement_bound(name: str, report: PruneReport) -> Bound:
    return Bound(f"{name} agreement", agreement(report), LEAST_AGREEMENT, "at_least", "share")


def pattern_bound(name: str) -> Bound:
    """Groups of four that keep more than two, after `--pattern 2:4`."""
    path = model_file(name)
    network = build(load(path.read_bytes(), name=path.name))
    masks = pattern_masks(network, 2, 4)
    apply(network, masks)
    kept = [
        (value.detach().flatten(1).reshape(-1, 4) != 0).sum(dim=1).max().item()
        for layer, value in weights_of(network).items()
        if layer in masks
    ]
    most = int(max(kept, default=4))
    return Bound(f"{name} 2:4, weights kept of four", most, 2, "at_most", "weights")
