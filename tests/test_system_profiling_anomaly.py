"""Anomaly detection is told where it is on, and only there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.system.profiling.evidence import Evidence
from aitrade_cli.system.profiling.hooks import torch_calls
from aitrade_cli.system.profiling.hooks.recorder import Recorder
from tests.profiling_cases import facts, found, script, site


def switched(path: Path, line: int, *values: object, **named: object) -> dict[str, object]:
    return {"file": str(path), "line": line, "values": list(values), "named": named}


@pytest.mark.parametrize(
    ("given", "on"),
    [
        ({"anomaly_set": [((True,), {})]}, True),
        ({"anomaly_set": [((), {"mode": True})]}, True),
        ({"anomaly_set": [((), {"mode": False})]}, False),
        ({"anomaly_set": [((True,), {}), ((False,), {})]}, False),
        ({"anomaly_set": [((True,), {}), ((False,), {})], "anomaly": True}, True),
        ({"anomaly_with": [((False,), {})]}, True),  # that is its `check_nan`
        ({"anomaly_with": [((), {"check_nan": False})]}, True),
        ({}, False),
    ],
)
def test_anomaly_detection_is_told_where_it_is_on(
    tmp_path: Path, given: dict[str, Any], on: bool
) -> None:
    path = script(tmp_path, "import torch\ntorch.autograd.set_detect_anomaly(mode=True)\n")
    rows = {
        name: [switched(path, 2, *values, **named) for values, named in calls]
        if isinstance(calls, list)
        else calls
        for name, calls in given.items()
    }
    evidence = Evidence(
        wall=10.0, cpu=10.0, facts=facts(**rows), sites=(site("forward", path, 2, 6.0),)
    )
    assert ("debug_switch" in found(evidence)) is on


def test_anomaly_detection_is_turned_off_where_it_is_named(tmp_path: Path) -> None:
    path = script(tmp_path, "import torch\ntorch.autograd.set_detect_anomaly(mode=True)\n")
    evidence = Evidence(
        wall=10.0,
        cpu=10.0,
        facts=facts(anomaly_set=[switched(path, 2, mode=True)]),
        sites=(site("forward", path, 2, 6.0),),
    )
    text = found(evidence)["debug_switch"].fix.text
    assert "+torch.autograd.set_detect_anomaly(mode=False)" in text


def test_the_hooks_note_a_switch_by_its_keyword_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_calls, "is_user_file", lambda _: True)
    recorder = Recorder(keep_events=False)
    torch_calls.TorchCalls(recorder).noted("anomaly_set", lambda *_, **__: None)(mode=False)
    (row,) = recorder.facts["anomaly_set"]
    assert (row["values"], row["named"]) == ([], {"mode": False})
