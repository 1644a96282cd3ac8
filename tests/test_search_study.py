"""The journal of a search: resumed is undisturbed, killed is usable, a stranger's is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from aitrade_cli.errors import BadInput
from aitrade_cli.search.answers import Answer, OnEpoch
from aitrade_cli.search.objectives import goals_of
from aitrade_cli.search.searching import Search, search_here
from aitrade_cli.search.space import Choice, Space
from aitrade_cli.search.study import JournalDamaged, OtherSearch, SearchUnderWay, Study, held
from tests.search_cases import SPACE, Bowl, proposals, study_in

TRIALS = 16  # past the random start, so that the sampler learns from what it saw


def searched(path: Path, trials: int, **details: Any) -> Study:
    with held(path):
        study = study_in(path, **details)
        search_here(Search(study, trials), Bowl(refuses=4))
    return study


def test_a_resumed_search_proposes_what_an_undisturbed_one_does(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", TRIALS)
    for trials in (3, 11, TRIALS):
        again = searched(tmp_path / "pieces", trials)
    assert proposals(again) == proposals(whole)
    assert [one.state for one in again.trials] == [one.state for one in whole.trials]


def test_a_killed_trial_is_tried_again_and_nothing_after_it_changes(tmp_path: Path) -> None:
    whole = searched(tmp_path / "whole", TRIALS)
    for killed_at in (0, 5, 12):
        with held(tmp_path / "killed"):
            study = study_in(tmp_path / "killed")
            search_here(Search(study, killed_at), Bowl(refuses=4))
            trial, _ = study.ask()  # and the process is gone before it answers
            study.report(trial, 1, 9.0)
    again = searched(tmp_path / "killed", TRIALS)
    assert proposals(again) == proposals(whole)
    assert len(again.trials) == TRIALS


def test_proposals_are_those_of_optuna_s_own_sampler(tmp_path: Path) -> None:
    ours = searched(tmp_path / "ours", TRIALS)
    theirs = optuna.create_study()
    for turn, trial in enumerate(ours.trials):
        theirs.sampler = optuna.samplers.TPESampler(seed=turn, n_startup_trials=10)
        asked = theirs.ask()
        assert SPACE.draw(asked) == SPACE.values_of(trial.params)
        if trial.state is TrialState.COMPLETE:
            theirs.tell(asked, trial.values)
        elif trial.state is TrialState.PRUNED:
            for step, value in trial.intermediate_values.items():
                asked.report(value, step)
            theirs.tell(asked, state=TrialState.PRUNED)
        else:
            theirs.tell(asked, state=trial.state)


def test_a_proposal_that_is_killed_each_time_is_given_up(tmp_path: Path) -> None:
    """What takes more memory than there is would otherwise end the search for ever."""
    begun = []
    for _ in range(4):
        with held(tmp_path / "killed"):
            study = study_in(tmp_path / "killed")
            search_here(Search(study, 5), Bowl(refuses=4))
            begun.append(study.ask()[1])  # and the process is gone before it answers
    assert begun[0] == begun[1] == begun[2] != begun[3]
    after = searched(tmp_path / "killed", 9).trials
    assert len(after) == 9
    given_up = after[5]
    assert SPACE.values_of(given_up.params) == begun[0]
    assert given_up.user_attrs["why"] == "its process was killed 3 times"


def test_what_was_stopped_or_ran_beside_others_is_never_given_up(tmp_path: Path) -> None:
    """Only a process of its own that was killed speaks against a proposal."""
    begun, ended = [], []
    for _ in range(4):
        with held(tmp_path / "stopped"):
            study = study_in(tmp_path / "stopped")
            begun.append(study.ask()[1])
            study.let_go()
            ended += study.trials
        with held(tmp_path / "beside"):
            study = study_in(tmp_path / "beside")
            ended += study.trials
            begun += [study.ask()[1], study.ask()[1]]  # and the process of both is gone
    assert begun == begun[:3] * 4
    assert ended == []


def test_of_several_processes_only_the_killed_one_counts(tmp_path: Path) -> None:
    told = []
    for _ in range(3):
        with held(tmp_path / "killed"):
            study = study_in(tmp_path / "killed")
            mine, _ = study.ask()
            study.ask()
            study.killed(mine)
            study.let_go()
            told.append([(one.user_attrs["why"], one.params) for one in study.trials])
            first = mine.params
            assert told[-1] in ([], [("its process was killed 3 times", first)])
    assert [len(one) for one in told] == [0, 0, 1]


def test_the_seed_decides_the_proposals(tmp_path: Path) -> None:
    one, other = (searched(tmp_path / f"{seed}", 4, seed=seed) for seed in (0, 1))
    assert proposals(one) != proposals(other)


def test_a_sampler_that_begins_anew_would_be_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(tmp_path / "whole", 8)
    searched(tmp_path / "pieces", 4)
    monkeypatch.setattr(Study, "proposed", property(lambda self: len(self.trials) - 4))
    with held(tmp_path / "pieces"):
        study = study_in(tmp_path / "pieces")
        search_here(Search(study, 4), Bowl(refuses=4))
    assert proposals(study) != proposals(whole)


def test_the_search_gets_better_and_stops_the_hopeless_early(tmp_path: Path) -> None:
    study = searched(tmp_path / "journal", 40)
    states = [one.state for one in study.trials]
    assert states.count(TrialState.PRUNED) > 0
    best = min(one.value for one in study.complete if one.value is not None)
    assert best < 0.1
    assert all(one.user_attrs["why"] for one in study.trials if one.state is TrialState.FAIL)


def test_without_pruning_every_trial_is_trained_to_its_end(tmp_path: Path) -> None:
    study = searched(tmp_path / "journal", 12, prune=False)
    assert {one.state for one in study.trials} <= {TrialState.COMPLETE, TrialState.FAIL}


def test_the_recipe_itself_is_tried_first(tmp_path: Path) -> None:
    first = {"rate": 0.01, "width": 20, "kind": [1, 2], "other": 1}
    study = searched(tmp_path / "journal", 2, first=first)
    assert proposals(study)[0] == {"rate": 0.01, "width": 20, "kind": [1, 2]}
    outside = {**first, "width": 100}
    study = searched(tmp_path / "other", 1, first=outside)
    assert proposals(study)[0]["width"] != 100


@dataclass
class Counted:
    """One of four settings breaks off, one is hopeless; counts who was asked."""

    asked: list[int] = field(default_factory=list)

    def __call__(self, values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
        del on_epoch
        self.asked.append(values["width"])
        if values["width"] == 3:
            raise BadInput("three is too many")
        return Answer((float(values["width"]),), {"loss": 1.0}, 3, 3, looks=(0.1, 0.2))


def test_settings_that_come_again_are_answered_from_the_journal(tmp_path: Path) -> None:
    space, counted = Space((Choice("width", (1, 2, 3, 4)),)), Counted()
    for trials in (9, 20):  # the second run remembers the first
        with held(tmp_path / "journal"):
            study = study_in(tmp_path / "journal", space=space)
            search_here(Search(study, trials), counted)
    assert len(study.trials) == 20
    assert sorted(counted.asked) == [1, 2, 3, 4]
    first = {}
    for trial in study.trials:
        told = trial.user_attrs
        one = first.setdefault(trial.params["width"], trial)
        assert (trial.state, trial.values) == (one.state, one.values)
        assert told.get("again") == (None if one is trial else one.number)
        assert told.get("looks", []) == ([0.1, 0.2] if one is trial and one.values else [])
    assert sum(one.user_attrs.get("epochs", 0) for one in study.trials) == 9


def test_several_goals_are_remembered_in_their_order(tmp_path: Path) -> None:
    with held(tmp_path / "journal"):
        study = study_in(tmp_path / "journal", goals=goals_of(["latency"], ["sharpe"]))
        trial, _ = study.ask()
        assert not study.report(trial, 1, 5.0)
        study.answer(trial, Answer((3.0, 1.0), {}, 1, 1))
        assert list(study.complete[0].values) == [3.0, 1.0]


def test_a_journal_of_another_search_is_refused(tmp_path: Path) -> None:
    searched(tmp_path / "journal", 1)
    with held(tmp_path / "journal"), pytest.raises(OtherSearch, match="another recipe"):
        study_in(tmp_path / "journal", key={"recipe": "b"})


def test_two_searches_do_not_write_to_one_journal(tmp_path: Path) -> None:
    with held(tmp_path / "journal"), pytest.raises(SearchUnderWay), held(tmp_path / "journal"):
        pass


def test_a_line_that_was_half_written_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = proposals(searched(path, 6))
    data = path.read_bytes()
    path.write_bytes(data[: data.rstrip().rfind(b"\n") + 20])
    again = searched(path, 8)
    assert proposals(again)[:6] == whole
    assert len(again.trials) == 8


def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("my notes, without an end")
    with pytest.raises(JournalDamaged), held(path):
        pass
    assert path.read_text() == "my notes, without an end"


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    searched(path, 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"{broken\n", *lines[1:]]))
    with held(path), pytest.raises(JournalDamaged, match="cannot be read"):
        study_in(path)


def test_an_interrupt_leaves_the_journal_whole(tmp_path: Path) -> None:
    def interrupted(values: Mapping[str, Any], on_epoch: OnEpoch) -> Answer:
        raise KeyboardInterrupt(values, on_epoch)

    path = tmp_path / "journal"
    whole = proposals(searched(tmp_path / "whole", 6))
    searched(path, 3)
    with held(path), pytest.raises(KeyboardInterrupt):
        search_here(Search(study_in(path), 6), interrupted)
    assert proposals(searched(path, 6)) == whole
    assert len(SPACE.parts) == len(whole[0])
