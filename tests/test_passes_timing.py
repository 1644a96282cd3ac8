"""Passes time what they ship in processes of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aitrade_cli.inference.variants import FULL, QUICK, Effort
from aitrade_cli.model.artefact import Artefact
from aitrade_cli.model.card import Arch
from aitrade_cli.model.loading import load
from aitrade_cli.passes import timing
from aitrade_cli.passes.quantize.run import graph_of
from tests.passes_cases import WINDOW, onnx_model, plant, torch_model

WINDOWS = np.random.default_rng(0).standard_normal((4, WINDOW, 4)).astype(np.float32)


def silent(_: str) -> None: ...


def test_a_race_of_real_processes() -> None:
    graph = graph_of(onnx_model())
    effort = Effort(rounds=6, runs=24)
    timed = timing.race({"one": graph, "two": graph}, WINDOWS, effort=effort, seed=0, say=silent)
    assert {each.variant for each in timed.latencies} == {"one", "two"}
    assert all(each.runtime == "onnxruntime" for each in timed.latencies)
    assert timed.latency("one").size_bytes == len(graph.proto_bytes)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the bench was asked to measure, and how; nothing is measured."""
    noted: dict[str, Any] = {}
    plant(monkeypatch)
    planted = timing.measure

    def noting(variants: Any, **how: Any) -> Any:
        noted.update(how, variants=list(variants))
        return planted(variants, **how)

    monkeypatch.setattr(timing, "measure", noting)
    return noted


def test_what_is_reported_is_measured_in_full_and_with_a_control(asked: dict[str, Any]) -> None:
    timed = timing.time_pair(torch_model(), onnx_model(), WINDOWS, seed=3, say=silent)
    assert (asked["effort"], asked["control"], asked["seed"]) == (FULL, True, 3)
    assert timed.noise[0].control is not None
    assert timed.baseline() == "before"
    assert timed.speed("after").value == pytest.approx(4.5, rel=0.01)  # 900 over 200 planted


def test_more_seconds_are_passed_on_and_a_choice_takes_its_share_of_them(
    asked: dict[str, Any],
) -> None:
    longer = Effort(seconds=10.0)
    timing.time_pair(torch_model(), onnx_model(), WINDOWS, effort=longer, seed=3, say=silent)
    assert asked["effort"] == longer
    timing.race_artefacts(
        {"one": torch_model()}, WINDOWS, batches=(1,), effort=longer, seed=3, say=silent
    )
    assert asked["effort"] == Effort(rounds=QUICK.rounds, seconds=4.0)
    assert asked["control"]


def test_a_race_is_short_and_has_none(asked: dict[str, Any]) -> None:
    graph = graph_of(onnx_model())
    timing.race({"float": graph, "int8": graph}, WINDOWS, seed=3, say=silent)
    assert (asked["effort"], asked["control"]) == (QUICK, False)


@pytest.mark.parametrize("model", [torch_model(), onnx_model()], ids=["torch", "onnx"])
def test_the_processes_get_the_very_artefact(asked: dict[str, Any], model: Artefact) -> None:
    timing.time_pair(model, onnx_model(), WINDOWS, seed=0, say=silent)
    before, after = asked["variants"]
    assert (before.name, after.name) == ("before", "after")
    sent = load(before.artefact, name="sent")
    assert type(sent.network) is type(model.network)
    assert before.runtime == "auto"


def test_code_of_the_users_own_is_imported_only_where_they_named_it() -> None:
    named = replace(torch_model().card, arch=Arch("nets:build"))
    one = replace(torch_model(), card=named)
    assert timing.variant_of("before", one).arch is None
    assert timing.variant_of("before", replace(one, arch_given=True)).arch == "nets:build"
