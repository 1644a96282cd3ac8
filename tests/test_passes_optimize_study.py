"""The folder of a search: proposals, resuming, two at once, strangers, damage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aitrade_cli.passes.optimize.folder import OtherStudy, StudyDamaged, StudyInUse, locked
from aitrade_cli.passes.optimize.points import Point
from aitrade_cli.passes.optimize.shapes import DENSE, Kind, Shape, plan
from aitrade_cli.passes.optimize.study import Study, opened

KEY = {"source": "a" * 64, "seed": 0}
KINDS: tuple[Kind, ...] = ("dense", "recent", "pruned", "student")
PLAN = plan(KINDS, "lstm")


def point(file: str, speedup: float = 2.0) -> Point:
    return Point(
        "as it is", "f", "compile", "onnxruntime", "float32", 1, speedup, 10.0, 5, 0.0, file
    )


def drive(folder: Path, count: int, seed: int = 0) -> list[Shape]:
    """Answer ``count`` proposals; the score depends on the shape alone."""
    asked = []
    with opened(folder, {**KEY, "seed": seed}, KINDS, PLAN, seed) as study:
        for _ in range(count):
            trial, shape = study.ask()
            asked.append(shape)
            study.keep(trial, shape.share + shape.size, [point(study.write_graph(b"graph"))])
    return asked


def test_the_plan_comes_first_and_the_source_before_everything(tmp_path: Path) -> None:
    assert drive(tmp_path, len(PLAN)) == list(PLAN)
    assert PLAN[0] == DENSE


def test_the_same_seed_proposes_the_same_however_often_it_was_interrupted(tmp_path: Path) -> None:
    count = len(PLAN) + 6
    whole = drive(tmp_path / "whole", count)
    pieces = [shape for _ in range(count) for shape in drive(tmp_path / "pieces", 1)]
    assert pieces == whole


def test_another_seed_proposes_others_after_the_plan(tmp_path: Path) -> None:
    count = len(PLAN) + 6
    assert drive(tmp_path / "a", count, 1) != drive(tmp_path / "b", count, 2)


def test_a_trial_that_was_killed_is_proposed_again(tmp_path: Path) -> None:
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        _, first = study.ask()  # and never answered
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        trial, again = study.ask()
        assert again == first
        study.keep(trial, 1.0, [])
        assert study.is_known(first)


def test_points_come_back_as_they_were(tmp_path: Path) -> None:
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        trial, _ = study.ask()
        kept = point(study.write_graph(b"bytes of a graph"))
        study.keep(trial, 1.0, [kept])
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        assert study.points() == (kept,)
        assert study.read_graph(kept.file) == b"bytes of a graph"


def test_a_graph_that_changed_on_disk_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        file = study.write_graph(b"good")
        study.path_of(file).write_bytes(b"evil")
        with pytest.raises(StudyDamaged, match="not what was written"):
            study.read_graph(file)


def test_a_name_never_leaves_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path, KEY, KINDS, PLAN, 0) as study:
        assert study.path_of("../../etc/passwd").parent == tmp_path / "graphs"


def test_two_at_once_is_refused(tmp_path: Path) -> None:
    tmp_path.mkdir(exist_ok=True)
    with locked(tmp_path), pytest.raises(StudyInUse), locked(tmp_path):
        pass


def test_the_lock_is_free_again_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            pass


@pytest.mark.parametrize("name", ["source", "seed"])
def test_another_search_is_told_from_this_one(tmp_path: Path, name: str) -> None:
    drive(tmp_path, 1)
    with (
        pytest.raises(OtherStudy, match=f"another {name}"),
        opened(tmp_path, {**KEY, name: "other"}, KINDS, PLAN, 0),
    ):
        pass


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OtherStudy, match=r"thesis\.tex"), opened(tmp_path, KEY, KINDS, PLAN, 0):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("damage", ["study.json", "journal.log"])
def test_damage_is_one_line(tmp_path: Path, damage: str) -> None:
    drive(tmp_path, 1)
    (tmp_path / damage).write_bytes(b'{"a": \xff\n')
    with pytest.raises((StudyDamaged, OtherStudy)), opened(tmp_path, KEY, KINDS, PLAN, 0):
        pass


def test_the_journal_is_plain_text(tmp_path: Path) -> None:
    drive(tmp_path, 1)
    for line in (tmp_path / "journal.log").read_text().splitlines():
        json.loads(line)  # nothing in it can execute anything


def test_a_study_of_the_source_alone_proposes_nothing_else(tmp_path: Path) -> None:
    alone = plan(("dense",), "mlp")
    assert alone == (DENSE,)
    with opened(tmp_path, KEY, ("dense",), alone, 0) as study:
        asked = []
        for _ in range(3):
            trial, shape = study.ask()
            asked.append(shape)
            study.give_up(trial, "tried before", pruned=False) if shape in asked[:-1] else (
                study.keep(trial, 0.0, [])
            )
    assert set(asked) == {DENSE}
    assert isinstance(study, Study)


def test_what_was_stopped_too_soon_gets_another_look_when_the_plan_is_through(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, KEY, KINDS, PLAN[:4], 0) as study:
        scores = {PLAN[2]: 0.5, PLAN[3]: 9.0}
        for _ in PLAN[:4]:
            trial, shape = study.ask()
            if shape in scores:
                trial.report(scores[shape], 1)
                study.give_up(trial, "stopped early", pruned=True)
            else:
                study.keep(trial, 0.0, [])
        assert not study.is_known(PLAN[2])
        trial, again = study.ask()
        assert again == PLAN[2]
        study.give_up(trial, "stopped early", pruned=True)
        assert study.is_known(PLAN[2])  # twice is enough
        _, other = study.ask()
        assert other != PLAN[2]
