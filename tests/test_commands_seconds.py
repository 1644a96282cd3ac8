"""How long models are timed reaches every command that compares two of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.errors import BadInput
from aitrade_cli.inference.variants import Effort
from tests.passes_cases import BARS, plant, typed, weights

WORK = {
    "aitrade_cli.passes.quantize.run.quantize_artefact": ("quantize", "--int8"),
    "aitrade_cli.passes.prune.run.prune_artefact": ("prune", "--structured", "0.5"),
    "aitrade_cli.passes.distill.run.distill_artefact": ("distill", "--student", "mlp"),
    "aitrade_cli.passes.compile.run.compile_artefact": ("compile",),
    "aitrade_cli.passes.optimize.run.optimize_artefact": ("optimize",),
    "aitrade_cli.passes.optimize.graph_only.rewrite_graph": ("optimize", "--graph-only"),
}


MADE = {
    "quantize": ("quantize", "--fp16"),
    "prune": ("prune", "--structured", "0.5"),
    "compile": ("compile", "--backend", "torchscript"),
    "distill": ("distill", "--student", "mlp", "--epochs", "1", "--data", str(BARS)),
    "graph": ("optimize", "--graph-only"),
}


@pytest.mark.parametrize("made", MADE)
def test_what_ships_is_timed_that_long(
    made: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Effort] = []

    def timed(*_: object, effort: Effort, **__: object) -> None:
        asked.append(effort)
        raise BadInput("enough was seen")

    (tmp_path / "tiny.pt").write_bytes(weights())
    monkeypatch.chdir(tmp_path)
    plant(monkeypatch)
    monkeypatch.setattr("aitrade_cli.passes.ship.time_pair", timed)
    command, *words = MADE[made]
    assert typed(monkeypatch, command, "tiny.pt", *words, "--seconds", "7.5") == BadInput.exit_code
    assert asked == [Effort(seconds=7.5)]


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
