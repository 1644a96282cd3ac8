"""Proof of M8 and M9 on the fixture models, judged on bars that nothing was trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import geometric_mean
from types import MappingProxyType
from typing import Final

import torch

from aitrade_cli.checks.fixtures import fixtures_folder, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.turns import effort_of
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.model.loading import load
from aitrade_cli.passes.distill.report import DistillReport
from aitrade_cli.passes.distill.run import distill_artefact
from aitrade_cli.passes.distill.settings import RECIPE, Settings
from aitrade_cli.passes.quantize.qat import SUFFIX
from aitrade_cli.passes.quantize.report import QuantizeReport
from aitrade_cli.passes.quantize.run import quantize_artefact
from aitrade_cli.passes.quantize.settings import Settings as QuantizeSettings

STUDENTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mlp": "mlp",
        "lstm": "lstm",
        "gru": "gru",
        "tcn": "tcn",
        "transformer": "tcn",
        "deeplob": "tcn",
    }
)
LEAST_FEWER: Final = 4.0  # times
QUICK: Final = ("mlp",)
TUNED: Final = ("mlp", "lstm")
ONE_MAY_MISS: Final = 1  # of six
CONDITIONS: Final = (
    "parameters of the teacher over the student's; held-out loss against the same student "
    "trained without the teacher, 95 % interval of a paired block bootstrap; speed at batch 1, "
    "1 thread, one process a model"
)


def students_learn(quick: bool) -> CheckResult:
    """A student of a quarter of the size is no worse on held-out bars than one without teacher."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        reports = {name: run(name, quick=quick) for name in (QUICK if quick else STUDENTS)}
    finally:
        torch.set_num_threads(threads)
    gains = [gain_of(report) for report in reports.values()]
    no_worse = sum(not worse(report) for report in reports.values())
    least = len(reports) - (ONE_MAY_MISS if len(reports) > 1 else 0)
    fewest = min(report.parameter_ratio for report in reports.values())
    return CheckResult(
        Measured(
            speedup=geometric_mean([gain.speedup or 1.0 for gain in gains]),
            speedup_low=geometric_mean([gain.speedup_low or 1.0 for gain in gains]),
            speedup_high=geometric_mean([gain.speedup_high or 1.0 for gain in gains]),
            memory_saved=1.0 - geometric_mean([gain.size_ratio or 1.0 for gain in gains]),
        ),
        (
            Bound("parameters", fewest, LEAST_FEWER, "at_least", "times fewer"),
            Bound("no worse than alone", no_worse, least, "at_least", "students"),
        ),
        f"{', '.join(reports)}: {CONDITIONS}",
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def rounding_is_learned(quick: bool) -> CheckResult:
    """Weights that were fine-tuned while being rounded to 4 bits flip fewer decisions."""
    names = QUICK if quick else TUNED
    reports = {name: run_tuned(name, quick=quick) for name in names}
    flips = {name: flips_of(report) for name, report in reports.items()}
    gained = sum(after < before for before, after in flips.values())
    return CheckResult(
        Measured(
            memory_saved=1.0 - geometric_mean([report.size_ratio for report in reports.values()])
        ),
        (
            *(
                Bound(f"{name} flips, fine-tuned", after, before, "at_most", "share")
                for name, (before, after) in flips.items()
            ),
            # Where nothing improves, the source's weights are kept and the two are equal.
            Bound("models that gained", gained, 1, "at_least", "models"),
        ),
        f"{', '.join(names)}: INT4; expected flips on windows that were not trained on, the "
        "limit is that of the same weights only rounded; size of the ONNX file without its card",
        tuple(
            Case(name, None, 1.0 - report.size_ratio, "flips {:.2%} -> {:.2%}".format(*flips[name]))
            for name, report in reports.items()
        ),
    )


def run_tuned(name: str, *, quick: bool) -> QuantizeReport:
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    settings = QuantizeSettings(bits="int4", qat=True, effort=effort_of(quick))
    return quantize_artefact(source, settings, f"{name}.onnx").report


def flips_of(report: QuantizeReport) -> tuple[float, float]:
    """The fewest expected flips on the choosing windows, before fine-tuning and after."""
    told = [(line.name.endswith(SUFFIX), line.flips) for line in report.candidates]
    before = min(flips for tuned, flips in told if not tuned and flips is not None)
    return before, min(flips for tuned, flips in told if tuned and flips is not None)


def run(name: str, *, quick: bool) -> DistillReport:
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    settings = Settings(
        STUDENTS[name],
        recipe=replace(RECIPE, epochs=4) if quick else RECIPE,
        data=None if quick else str(fixtures_folder() / "bars" / "eurusd_1h.parquet"),
        effort=effort_of(quick),
    )
    return distill_artefact(source, settings, f"{name}.{STUDENTS[name]}.pt").report


def worse(report: DistillReport) -> bool:
    """The whole interval of the loss lies above that of the student alone, or none was found."""
    against = [one.verdict for one in report.differences if one.other == "student alone"]
    return not against or "higher" in against


def gain_of(report: DistillReport) -> Gain:
    gain = report.equivalence.gain
    if gain is None:
        raise ValueError(f"{report.source} was shipped without being measured")
    return gain


def case_of(name: str, report: DistillReport) -> Case:
    gain = gain_of(report)
    student = next(one for one in report.models if one.name == "student")
    found = next((one for one in report.differences if one.other == "student alone"), None)
    against = (
        "" if found is None else f", loss {found.nats:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    )
    agreed = "not run" if student.agreement is None else f"{student.agreement:.1%}"
    return Case(
        name,
        gain.speedup,
        None if gain.size_ratio is None else 1.0 - gain.size_ratio,
        f"{report.student}, {report.parameter_ratio:.1f}x fewer parameters, "
        f"{agreed} as the teacher{against} against alone",
    )
