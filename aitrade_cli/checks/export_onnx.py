"""Proof of M11: the exported graph computes what torch computes, at every shape it takes."""

from __future__ import annotations

from aitrade_cli.checks.fixtures import MODELS, model_file
from aitrade_cli.checks.result import Bound, Case, CheckResult, Measured
from aitrade_cli.model.export import ExportReport, export_onnx
from aitrade_cli.model.loading import load

MOST_APART = 1e-4  # of logits of size one to ten: float32 sums in another order
LEAST_SHAPES = 5


def export_agrees_at_every_shape(quick: bool) -> CheckResult:
    """Batch 1, length 1 and lengths never seen among them; the batch axis stays free."""
    names = ("mlp", "gru") if quick else MODELS
    reports = {name: exported(name) for name in names}
    return CheckResult(
        Measured(),
        tuple(bound for name, report in reports.items() for bound in bounds_of(name, report)),
        f"{', '.join(names)}: ONNX Runtime against eager float32 on real windows and noise",
        tuple(case_of(name, report) for name, report in reports.items()),
    )


def exported(name: str) -> ExportReport:
    path = model_file(name)
    return export_onnx(load(path.read_bytes(), name=path.name))[1]


def bounds_of(name: str, report: ExportReport) -> tuple[Bound, ...]:
    kept = report.kept
    apart = float("inf") if kept.max_abs_diff is None else kept.max_abs_diff
    free = float(isinstance(report.inputs[0].shape[0], str))
    return (
        Bound(f"{name} shapes", kept.tried, LEAST_SHAPES, "at_least", "shapes"),
        Bound(f"{name} shapes wrong", kept.tried - kept.passed, 0, "at_most", "shapes"),
        Bound(f"{name} largest difference", min(apart, 1e30), MOST_APART, "at_most", "logits"),
        Bound(f"{name} free batch", free, 1.0, "at_least", "yes"),
    )


def case_of(name: str, report: ExportReport) -> Case:
    return Case(name, None, None, f"{report.chosen}, {report.kept.passed} shapes")
