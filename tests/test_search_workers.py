"""Trials in other processes and on a cluster: the journal is one, and the dead are noticed."""

from __future__ import annotations

import sys
import warnings
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import active_children
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aitrade_cli.search import machines
from aitrade_cli.search.answers import Answer
from aitrade_cli.search.machines import Actor, NoRay, search_on_ray
from aitrade_cli.search.searching import Search
from aitrade_cli.search.study import held
from aitrade_cli.search.workers import SearchWorkerDied, search_in_processes
from tests.search_cases import Bowl, study_in


def test_two_processes_answer_all_trials_and_are_gone(tmp_path: Path) -> None:
    with held(tmp_path / "journal"):
        study = study_in(tmp_path / "journal")
        search_in_processes(Search(study, 14), Bowl(refuses=4), 2)
    assert len(study.trials) == 14
    assert study.complete
    assert active_children() == []


def test_a_killed_process_is_noticed_and_its_trial_is_tried_again(tmp_path: Path) -> None:
    with held(tmp_path / "journal"):
        study = study_in(tmp_path / "journal")
        with pytest.raises(SearchWorkerDied, match="-9"):
            search_in_processes(Search(study, 50), Bowl(dies_at=1), 1)
        assert study.trials == []
        again = study_in(tmp_path / "journal")
    assert again.trials == []
    assert active_children() == []


def test_an_actor_answers_tells_and_stops_when_told() -> None:
    actor = Actor(Bowl(refuses=4))
    values = {"width": 20, "rate": 0.01, "kind": "x"}
    kind, told = actor.answer(7, values)
    assert kind == "answer"
    assert [epoch for epoch, _ in actor.heard()] == [1, 2, 3]
    assert actor.heard() == []
    assert actor.answer(8, {**values, "width": 1}) == ("failed", "a width of 1 is too small")
    actor.halt(8)
    assert actor.on_epoch(1, 0.5)
    assert told


def test_a_trial_that_ended_meanwhile_is_halted_and_not_the_next_one() -> None:
    actor = Actor(Bowl())
    values = {"width": 20, "rate": 0.01, "kind": "x"}
    actor.answer(7, values)
    actor.halt(7)
    _, told = actor.answer(8, values)
    assert isinstance(told, Answer)
    assert not told.pruned
    actor.halt(9)
    _, told = actor.answer(9, values)
    assert isinstance(told, Answer)
    assert told.pruned


@dataclass
class Promise:
    """Of a cluster that is full: kept at once, or never."""

    kept: bool
    value: Any = None


class FullCluster:
    """What `search_on_ray` uses of Ray, with so many CPUs; whoever would wait for ever fails.

    That an actor beyond the CPUs answers nothing was seen on Ray 2.60.
    """

    exceptions = SimpleNamespace(RayError=ArithmeticError)

    def __init__(self, cpus: int) -> None:
        self.cpus, self.placed, self.answered = cpus, 0, 0

    def available_resources(self) -> dict[str, float]:
        return {"CPU": float(self.cpus)}

    def remote(self, **_: Any) -> Any:
        return lambda made: SimpleNamespace(remote=lambda *words: self.place(made(*words)))

    def place(self, actor: Actor) -> Any:
        self.placed += 1
        here = self.placed <= self.cpus

        def asked(name: str) -> Any:
            return lambda *words: Promise(here, getattr(actor, name)(*words) if here else None)

        names = ("here", "answer", "heard", "halt")
        return SimpleNamespace(**{one: SimpleNamespace(remote=asked(one)) for one in names})

    def wait(self, promises: list[Promise], timeout: float) -> tuple[list[Promise], list[Promise]]:
        assert timeout < 1
        kept = [one for one in promises if one.kept]
        assert kept, "nothing of this will ever come"
        return kept[:1], [one for one in promises if one is not kept[0]]

    def get(self, promise: Promise) -> Any:
        assert promise.kept, "this is waited for without an end"
        return promise.value


@pytest.mark.parametrize("cpus", [1, 2, 5])
def test_jobs_without_a_place_in_the_cluster_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpus: int
) -> None:
    monkeypatch.setattr(machines, "cluster", lambda: nullcontext(FullCluster(cpus)))
    said: list[str] = []
    with held(tmp_path / "journal"):
        study = study_in(tmp_path / "journal")
        search_on_ray(Search(study, 8, said.append), Bowl(refuses=4), 3)
    assert len(study.trials) == 8
    waits = [line for line in said if "wait" in line]
    assert waits == [f"{cpus} CPUs of the cluster are free: {3 - cpus} of 3 jobs wait"][: cpus < 3]


def test_without_ray_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with held(tmp_path / "journal"):
        search = Search(study_in(tmp_path / "journal"), 2)
        with pytest.raises(NoRay, match="not installed") as found:
            search_on_ray(search, Bowl(), 1)
    assert found.value.exit_code == 5
    assert "aitrade-cli[ray]" in found.value.hint


@pytest.mark.skipif(find_spec("ray") is None, reason="the extra `ray` is not installed")
def test_a_cluster_answers_all_trials(tmp_path: Path) -> None:
    with held(tmp_path / "journal"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        study = study_in(tmp_path / "journal")
        search_on_ray(Search(study, 8), Bowl(refuses=4), 2)
    assert len(study.trials) == 8
    assert study.complete
