"""Checks find their bars and models, or say where they looked."""

from __future__ import annotations

from pathlib import Path

import pytest

from aitrade_cli.checks.architectures import reference_models_trade
from aitrade_cli.checks.export_onnx import export_agrees_at_every_shape
from aitrade_cli.checks.fixtures import MODELS, NoFixtures, fixtures_folder, model_file
from aitrade_cli.checks.numpy_path import windows_are_views
from aitrade_cli.checks.quantize import dynamic_int8, half_precision, int4_weights, static_int8
from tests.shell import ROOT

CHECKS = (
    dynamic_int8,
    export_agrees_at_every_shape,
    half_precision,
    int4_weights,
    reference_models_trade,
    static_int8,
    windows_are_views,
)


def test_the_clone_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AITRADE_FIXTURES", raising=False)
    assert fixtures_folder() == ROOT / "fixtures"
    assert all(model_file(name).is_file() for name in MODELS)


def test_a_folder_that_is_named_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for part in ("bars", "models"):
        (tmp_path / part).mkdir()
    monkeypatch.setenv("AITRADE_FIXTURES", str(tmp_path))
    assert fixtures_folder() == tmp_path
    with pytest.raises(NoFixtures, match=r"`mlp\.pt` is missing"):
        model_file("mlp")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("quick", [True, False])
def test_without_fixtures_a_check_is_unavailable_not_failed(
    check: object, quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AITRADE_FIXTURES", str(tmp_path))
    assert callable(check)
    with pytest.raises(NoFixtures) as caught:
        check(quick)
    # `check-all` calls whatever is Missing unavailable.
    assert caught.value.exit_code == 5
    assert str(tmp_path) in str(caught.value)
    assert "AITRADE_FIXTURES" in caught.value.hint
