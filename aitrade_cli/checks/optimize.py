"""Proof of M14: the search on the fixture models, against each single command, measured here."""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import geometric_mean

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.fidelity.budget import Budget
from aitrade_cli.model.loading import load
from aitrade_cli.passes.optimize.points import SAFETY, TIE
from aitrade_cli.passes.optimize.report import OptimizeReport
from aitrade_cli.passes.optimize.run import optimize_artefact
from aitrade_cli.passes.optimize.settings import Settings

FLIPS = 0.01
QUICK_SECONDS = 12.0
FULL_SECONDS = 300.0


def search_beats_each_command(quick: bool) -> CheckResult:
    """One search is at least as fast as the best single command, within the same budget."""
    names = ("mlp",) if quick else MODELS
    reports = {name: run(name, quick) for name in names}
    return CheckResult(
        Measured(
            speedup=geometric_mean([speed_of(report) for report in reports.values()]),
            memory_saved=1.0 - geometric_mean([size_of(report) for report in reports.values()]),
        ),
        tuple(bound for name, report in reports.items() for bound in bounds_of(name, report)),
        f"{', '.join(names)}: at most {FLIPS:.0%} flips, {reports[names[0]].seconds:.0f} s for the "
        "first; batch 1, one process a candidate, over eager float32 on one thread",
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def run(name: str, quick: bool) -> OptimizeReport:
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    settings = Settings(
        budget=Budget(max_flips=FLIPS),
        seconds=QUICK_SECONDS if quick else FULL_SECONDS,
        trials=2 if quick else None,
        seed=7,
    )
    with tempfile.TemporaryDirectory() as folder:
        return optimize_artefact(source, settings, f"{name}.onnx", Path(folder) / "study").report


def speed_of(report: OptimizeReport) -> float:
    gain = report.equivalence.gain
    return 1.0 if gain is None or gain.speedup is None else gain.speedup


def size_of(report: OptimizeReport) -> float:
    gain = report.equivalence.gain
    return 1.0 if gain is None or gain.size_ratio is None else gain.size_ratio


def bounds_of(name: str, report: OptimizeReport) -> tuple[Bound, ...]:
    # What ships was timed again after it was chosen: that figure stands against the commands'.
    gain = report.equivalence.gain
    reached = 0.0 if gain is None or gain.speedup_high is None else gain.speedup_high
    bounds = [
        Bound(
            f"{name} over `{one.command}` alone",
            reached / one.speedup,
            1.0 / TIE,
            "at_least",
            "times",
        )
        for one in report.singles
        if one.flips is None or one.flips <= report.flips_allowed * SAFETY
    ]
    decisions = report.equivalence.decisions
    agreed = 0.0 if decisions is None or decisions.void else decisions.agreement
    bounds.append(Bound(f"{name} agreement", agreed, 1.0 - FLIPS, "at_least", "share"))
    return tuple(bounds)


def case_of(name: str, report: OptimizeReport) -> Case:
    shipped = report.shipped
    note = f"{shipped.shape}; {shipped.form}; {report.trials_now} networks tried"
    return Case(name, speed_of(report), 1.0 - size_of(report), note)
