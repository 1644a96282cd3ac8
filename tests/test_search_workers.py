"""Trials in other processes and on a cluster: the journal is one, and the dead are noticed."""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from multiprocessing import active_children
from pathlib import Path

import pytest

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
    kind, told = actor.answer(values)
    assert kind == "answer"
    assert [epoch for epoch, _ in actor.heard()] == [1, 2, 3]
    assert actor.heard() == []
    assert actor.answer({**values, "width": 1}) == ("failed", "a width of 1 is too small")
    actor.halt()
    assert actor.on_epoch(1, 0.5)
    assert told


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
