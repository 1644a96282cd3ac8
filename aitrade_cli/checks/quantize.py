"""Proof of M4 to M7: the real command's library call on the fixture models, measured here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import geometric_mean

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.checks.turns import effort_of
from aitrade_cli.fidelity.gain import Gain
from aitrade_cli.model.loading import load
from aitrade_cli.passes.quantize.report import QuantizeReport
from aitrade_cli.passes.quantize.run import quantize_artefact
from aitrade_cli.passes.quantize.settings import Settings

LEAST_COVERED = 0.95  # of the weights, or it was not quantized
LEAST_AGREEMENT = 0.99  # of decisions on held-out bars
HALF_SIZE = 0.52  # 16 of 32 bits, and the graph's own bytes
INT4_SIZE = 0.18
CONDITIONS = (
    "batch 1, 1 thread, one process a model, against eager float32; size of the ONNX file "
    "without its card over the float32 tensors; decisions on the held-out bars inside"
)


def dynamic_int8(quick: bool) -> CheckResult:
    """LSTM and linear layers multiply in INT8, and the models still decide alike."""
    settings = Settings(bits="int8", kinds=frozenset(("dynamic",)), effort=effort_of(quick))
    return check(("lstm", "mlp") if quick else MODELS, settings, int8_bounds)


def static_int8(quick: bool) -> CheckResult:
    """The same with ranges calibrated on earlier bars, which convolutions need."""
    settings = Settings(bits="int8", kinds=frozenset(("static",)), effort=effort_of(quick))
    return check(("tcn", "lstm") if quick else MODELS, settings, int8_bounds)


def int4_weights(quick: bool) -> CheckResult:
    """The transformer fits into less than a fifth of its float32 bytes."""
    names = ("transformer",) if quick else ("transformer", "mlp")
    return check(names, Settings(bits="int4", effort=effort_of(quick)), int4_bounds)


def half_precision(quick: bool) -> CheckResult:
    """Half the bytes, float32's speed, the same decisions."""
    names = ("mlp",) if quick else MODELS
    return check(names, Settings(bits="fp16", effort=effort_of(quick)), half_bounds)


def check(
    names: Sequence[str],
    settings: Settings,
    bounds_of: Callable[[str, QuantizeReport], tuple[Bound, ...]],
) -> CheckResult:
    """Quantize each model and take the geometric mean of what was gained."""
    reports = {name: run(name, settings) for name in names}
    gains = [gain_of(report) for report in reports.values()]
    return CheckResult(
        Measured(
            speedup=geometric_mean([gain.speedup or 1.0 for gain in gains]),
            speedup_low=geometric_mean([gain.speedup_low or 1.0 for gain in gains]),
            speedup_high=geometric_mean([gain.speedup_high or 1.0 for gain in gains]),
            memory_saved=1.0 - geometric_mean([gain.size_ratio or 1.0 for gain in gains]),
        ),
        tuple(bound for name, report in reports.items() for bound in bounds_of(name, report)),
        f"{', '.join(names)}: {CONDITIONS}",
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def run(name: str, settings: Settings) -> QuantizeReport:
    path = model_file(name)
    source = load(path.read_bytes(), name=path.name)
    return quantize_artefact(source, settings, f"{name}.onnx").report


def gain_of(report: QuantizeReport) -> Gain:
    gain = report.equivalence.gain
    if gain is None:
        raise ValueError(f"{report.source} was shipped without being measured")
    return gain


def case_of(name: str, report: QuantizeReport) -> Case:
    gain = gain_of(report)
    shipped = next(line for line in report.candidates if line.shipped)
    kept = f", in float: {', '.join(shipped.in_float)}" if shipped.in_float else ""
    agreed = f"{agreement(report):.2%} of decisions agree"
    return Case(name, gain.speedup, 1.0 - report.size_ratio, f"{shipped.name}; {agreed}{kept}")


def agreement(report: QuantizeReport) -> float:
    decisions = report.equivalence.decisions
    return 0.0 if decisions is None or decisions.void else decisions.agreement


def int8_bounds(name: str, report: QuantizeReport) -> tuple[Bound, ...]:
    shipped = next(line for line in report.candidates if line.shipped)
    # Layers kept in float are named in the report; only then may less be covered.
    least = 0.0 if shipped.in_float else LEAST_COVERED
    return (
        Bound(f"{name} weights in INT8", shipped.stored_share or 0.0, least, "at_least", "share"),
        decisions_bound(name, report),
    )


def int4_bounds(name: str, report: QuantizeReport) -> tuple[Bound, ...]:
    return (Bound(f"{name} size", report.size_ratio, INT4_SIZE, "at_most", "of float32"),)


def half_bounds(name: str, report: QuantizeReport) -> tuple[Bound, ...]:
    size = Bound(f"{name} size", report.size_ratio, HALF_SIZE, "at_most", "of float32")
    return (size, decisions_bound(name, report))


def decisions_bound(name: str, report: QuantizeReport) -> Bound:
    return Bound(f"{name} agreement", agreement(report), LEAST_AGREEMENT, "at_least", "share")
