"""How long models are timed reaches every command that compares two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.errors import BadInput
from tests.passes_cases import typed, weights

WORK = {
    "aitrade_cli.passes.quantize.run.quantize_artefact": ("quantize", "--int8"),
    "aitrade_cli.passes.prune.run.prune_artefact": ("prune", "--structured", "0.5"),
    "aitrade_cli.passes.distill.run.distill_artefact": ("distill", "--student", "mlp"),
    "aitrade_cli.passes.compile.run.compile_artefact": ("compile",),
    "aitrade_cli.passes.optimize.run.optimize_artefact": ("optimize",),
    "aitrade_cli.passes.optimize.graph_only.rewrite_graph": ("optimize", "--graph-only"),
}


@pytest.mark.parametrize("work", WORK)
def test_seconds_are_passed_on(work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def begun(_: object, settings: Any, *__: Any) -> None:
        asked.append(settings.effort.seconds)
        raise BadInput("enough was seen")

    (tmp_path / "tiny.pt").write_bytes(weights())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, begun)
    command, *words = WORK[work]
    assert typed(monkeypatch, command, "tiny.pt", *words) == BadInput.exit_code
    assert typed(monkeypatch, command, "tiny.pt", *words, "--seconds", "7.5") == BadInput.exit_code
    assert asked == [1.5, 7.5]
    assert typed(monkeypatch, command, "tiny.pt", *words, "--seconds", "0") == 2
