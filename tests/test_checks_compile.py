"""The rows of the compilers: what is missing is unavailable, what is there is measured."""

from __future__ import annotations

import pytest
import torch

from aitrade_cli.checks import compile as rows
from aitrade_cli.checks.graph import folds_without_a_trace
from aitrade_cli.errors import Missing


def test_xla_is_unavailable_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "why_not", lambda name: f"{name} is not installed")
    with pytest.raises(Missing, match="xla is not installed"):
        rows.accelerated_linear_algebra(quick=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, and the row measures it")
def test_gpu_switches_are_unavailable_without_a_gpu() -> None:
    with pytest.raises(Missing, match="no CUDA device"):
        rows.gpu_switches(quick=True)


def test_without_a_compiler_packages_are_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "why_not", lambda _: "no C++ compiler")
    with pytest.raises(Missing, match="no C"):
        rows.ahead_of_time(quick=True)


def test_a_hot_loop_gives_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "SERIES", 50)
    monkeypatch.setattr(rows, "ROUNDS", 2)
    _, apart = rows.hot_loop()
    assert apart < 1e-6


def test_the_graph_row_removes_what_was_planted() -> None:
    result = folds_without_a_trace(quick=True)
    assert all(bound.passed for bound in result.bounds)
    assert {case.name for case in result.cases} == {"planted", "tcn"}
