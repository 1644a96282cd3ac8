"""The rows S1 to S4 hold, and notice a profiler that names something else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aitrade_cli.checks import profile
from aitrade_cli.checks.profile import (
    PLANTED,
    Planted,
    bottlenecks_are_named,
    collectors_agree,
    memory_is_found_by_line,
)
from aitrade_cli.errors import Missing
from aitrade_cli.system.profiling.collectors import Collected
from aitrade_cli.system.profiling.profiler import Profiled
from aitrade_cli.system.profiling.report import (
    CollectorLine,
    Finding,
    Fix,
    HostHealth,
    ProfileReport,
)
from tests.shell import ROOT

EMPTY = ProfileReport(
    "job.py", 1.0, 1.0, None, None, False, (), (), (), (), None,
    HostHealth(None, None, None, None, 0.0, 1), (),
)  # fmt: skip


def test_every_planted_script_is_there_and_says_what_is_planted() -> None:
    assert len({one.kind for one in PLANTED}) == len(PLANTED) == 12
    for one in PLANTED:
        assert (ROOT / "fixtures/scripts" / one.script).read_text().startswith('"""Planted: ')


def test_memory_is_found_at_the_line_that_holds_it() -> None:
    pytest.importorskip("memray")
    assert [one for one in memory_is_found_by_line(quick=True).bounds if not one.passed] == []


def test_a_profiler_that_names_another_line_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = CollectorLine("cprofile", "ran", hot_line="planted.py:9", share=0.9)
    right = replace(wrong, name="scalene", hot_line="planted.py:4")
    monkeypatch.setattr(profile, "SPINNING", profile.SPINNING.replace("{rounds}", "80"))
    monkeypatch.setattr(
        "aitrade_cli.system.profiling.profiler.collect",
        lambda *_: Collected((wrong, right)),
    )
    result = collectors_agree(quick=True)
    assert not result.bounds[0].passed
    assert [one.note for one in result.cases if one.name == "scalene"] == ["names `expected`"]


def test_a_bottleneck_that_does_not_come_first_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = (Planted("slow_csv.py", "slow_loader", ("--copies", "5")),)
    monkeypatch.setattr(profile, "PLANTED", wrong)
    assert not bottlenecks_are_named(quick=True).bounds[0].passed


def test_a_fix_that_no_rerun_confirmed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def reported(*_: object, **__: object) -> Profiled:
        return Profiled(replace(EMPTY, findings=(guessed,), first_predicted=guessed.kind))

    fix = Fix("environment", "export A=1", environment={"A": "1"})
    guessed = Finding("x", "a.py:1", 0.5, "it waits", "time", 1.5, 2.0, "high", fix)
    monkeypatch.setattr(profile, "profiled", reported)
    monkeypatch.setattr(profile, "PLANTED", (Planted("slow_csv.py", "x"),))
    bounds = {one.name: one for one in bottlenecks_are_named(quick=False).bounds}
    assert bounds["ranked first"].passed
    assert not bounds["fixes without a rerun's yes"].passed


def test_a_missing_gpu_is_said_so() -> None:
    if profile.why_no_cuda() is None:
        pytest.skip("this machine has one")
    with pytest.raises(Missing):
        profile.kernels_are_seen(quick=True)
