"""What the row M11 concludes from exports whose trials are planted."""

from __future__ import annotations

import pytest

from aitrade_cli.checks import export_onnx as row
from aitrade_cli.checks.export_onnx import bounds_of, export_agrees_at_every_shape
from aitrade_cli.checks.fixtures import MODELS
from aitrade_cli.checks.result import CheckResult
from aitrade_cli.model.card import TensorSpec
from aitrade_cli.model.export import ExporterTrial, ExportReport, ShapeTrial, export_onnx
from tests.passes_cases import torch_model


def trial(status: str, apart: float | None = 1e-6) -> ShapeTrial:
    return ShapeTrial(2, 8, "real", status, apart)  # type: ignore[arg-type]


SAME = trial("same")


def report(*shapes: ShapeTrial, batch: int | str = "batch") -> ExportReport:
    kept = ExporterTrial("legacy", shapes, 10, 1_000, 0.1, ("batch",))
    other = ExporterTrial("dynamo", failed="it said no")
    return ExportReport(
        name="a.pt",
        chosen="legacy",
        why="it is right",
        narrowed="",
        trials=(other, kept),
        inputs=(TensorSpec("window", (batch, 8, 4)),),
        outputs=(TensorSpec("logits", (batch, 3)),),
        opset=17,
    )


def holds(found: ExportReport) -> bool:
    return all(bound.passed for bound in bounds_of("mlp", found))


@pytest.mark.parametrize(
    ("shapes", "held"),
    [
        ([SAME] * 5, True),
        ([SAME] * 4, False),
        ([SAME] * 5 + [trial("differs", 1e-5)], False),
        ([SAME] * 5 + [trial("fails", None)], False),
        ([SAME] * 5 + [trial("model_refuses", None)], True),
        ([SAME] * 4 + [trial("model_refuses", None)] * 9, False),
        ([SAME] * 5 + [trial("same", 2e-4)], False),
        ([trial("fails", None)] * 6, False),
    ],
)
def test_enough_shapes_all_right_and_close(shapes: list[ShapeTrial], held: bool) -> None:
    assert holds(report(*shapes)) is held


def test_a_batch_axis_that_is_frozen_fails() -> None:
    frozen = report(*[SAME] * 6, batch=1)
    broken = [bound.name for bound in bounds_of("mlp", frozen) if not bound.passed]
    assert broken == ["mlp free batch"]


def test_no_bound_is_infinite() -> None:
    assert all(bound.measured < 1e31 for bound in bounds_of("mlp", report(trial("fails", None))))


def checked(monkeypatch: pytest.MonkeyPatch, *, quick: bool) -> CheckResult:
    monkeypatch.setattr(row, "exported", lambda _: report(*[SAME] * 7))
    return export_agrees_at_every_shape(quick)


def test_quick_takes_two_models_and_the_whole_row_all(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [case.name for case in checked(monkeypatch, quick=True).cases] == ["mlp", "gru"]
    whole = checked(monkeypatch, quick=False)
    assert tuple(case.name for case in whole.cases) == MODELS
    assert whole.cases[0].note == "legacy, 7 shapes"
    assert whole.measured.speedup is None


def test_a_real_export_holds() -> None:
    _, found = export_onnx(torch_model(), exporter="legacy")
    apart = found.kept.max_abs_diff
    assert apart is not None
    assert apart <= row.MOST_APART
    assert found.kept.passed == found.kept.tried
