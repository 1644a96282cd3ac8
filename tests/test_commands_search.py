"""`aitrade search`: one recipe in, the best one out, and a study that goes on."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from aitrade_cli.market.bars import BarsUnreadable
from aitrade_cli.passes.train import prepare
from aitrade_cli.passes.train.recipe_file import BadRecipe, read_recipe
from aitrade_cli.search import trials
from aitrade_cli.search.answers import Answer
from aitrade_cli.search.objectives import goals_of
from aitrade_cli.search.report import SearchReport, TrialLine
from aitrade_cli.search.run import NoSuchTrial, Settings, default_study, search_recipe
from aitrade_cli.search.space import BadSpace
from aitrade_cli.search.study import OtherSearch
from aitrade_cli.search.varied import space_for
from aitrade_cli.training.batch_size import BatchChoice
from tests.shell import ROOT
from tests.warm import aitrade

TEXT = f"""
arch = "mlp"
data = "{ROOT}/fixtures/bars/nasdaq_1d.parquet"
[split]
stride = 16
test_rows = 128
window = 8
[training]
epochs = 1
learning_rate = 0.001
[network]
hidden_sizes = [4]
[search]
training.learning_rate = {{ low = 1e-4, high = 1e-2, log = true }}
network.hidden_sizes = [[4], [8, 4]]
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT)
    return path


def settings(recipe: Path, wanted: int = 3, **details: Any) -> Settings:
    goals = details.pop("goals", goals_of([], ["accuracy"]))
    return Settings(recipe, goals, wanted, recipe.with_suffix(".journal"), **details)


def test_the_recipe_is_tried_first_and_the_best_is_a_recipe(recipe: Path) -> None:
    said: list[str] = []
    found = search_recipe(settings(recipe), "best.toml", said.append)
    report = found.report
    assert (report.trials, report.new, report.complete) == (3, 3, 3)
    assert report.recipe is not None
    assert report.recipe.number == 0
    assert report.recipe.settings["network.hidden_sizes"] == [4]
    assert report.chosen.values[0] == max(line.values[0] for line in report.front)
    assert report.deflated is None or report.deflated.looks <= 3
    told = tomllib.loads(found.recipe)
    assert "search" not in told
    rate = told["training"].get("learning_rate", 0.001)
    assert rate == report.chosen.settings["training.learning_rate"]
    assert told["network"]["hidden_sizes"] == report.chosen.settings["network.hidden_sizes"]
    assert said[-1].startswith("3 of 3 trials")
    assert [panel.title for panel in found.figure.panels] == [
        "Maximize accuracy",
        "training.learning_rate",
        "network.hidden_sizes",
    ]
    (kinds,) = [panel.content for panel in found.figure.panels[2:]]
    assert isinstance(kinds, list)
    assert sum(len(curve.x) for curve in kinds) == 3


def test_a_study_goes_on_and_a_trial_can_be_picked(recipe: Path) -> None:
    search_recipe(settings(recipe, 1), "best.toml")
    assert search_recipe(settings(recipe, 2), "best.toml").report.new == 1
    picked = search_recipe(settings(recipe, 9, pick=0), "best.toml").report
    assert (picked.new, picked.trials, picked.chosen.number) == (0, 2, 0)
    with pytest.raises(NoSuchTrial, match="`7`"):
        search_recipe(settings(recipe, 9, pick=7), "best.toml")
    with pytest.raises(OtherSearch, match="another goals"):
        search_recipe(settings(recipe, goals=goals_of(["loss"], [])), "best.toml")


def test_a_pick_of_a_study_that_is_not_there_trains_nothing(recipe: Path) -> None:
    asked = settings(recipe, 9, pick=0)
    for _ in range(2):
        with pytest.raises(NoSuchTrial, match="no study"):
            search_recipe(asked, "best.toml", pytest.fail)
        assert not asked.study.exists()
        asked.study.parent.mkdir(exist_ok=True)
    assert NoSuchTrial.exit_code == 2
    asked.study.touch()
    with pytest.raises(NoSuchTrial, match="no study"):
        search_recipe(asked, "best.toml", pytest.fail)


def test_bars_that_cannot_be_read_leave_no_journal_behind(recipe: Path) -> None:
    recipe.write_text(TEXT.replace("nasdaq", "nosdaq"))
    for jobs in (1, 2):
        with pytest.raises(BarsUnreadable):
            search_recipe(settings(recipe, 1, jobs=jobs), "best.toml")
    recipe.write_text(TEXT)
    assert search_recipe(settings(recipe, 1), "best.toml").report.new == 1


def test_what_was_found_by_measurement_is_in_the_best_recipe(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*_: object, **__: object) -> BatchChoice:
        return BatchChoice(24, 24, 1, ())

    monkeypatch.setattr(prepare, "find_batch", found)
    recipe.write_text(TEXT.replace("epochs = 1", "epochs = 1\nbatch = 0"))
    made = search_recipe(settings(recipe, 1), "best.toml")
    assert made.report.chosen.found == {"training.batch": 24}
    assert tomllib.loads(made.recipe)["training"]["batch"] == 24


def test_a_recipe_of_a_name_and_a_size_keeps_the_size_that_was_found(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_self: object, values: dict[str, Any], _: object) -> Answer:
        return Answer((float(values["size"]),), {}, 1, 1)

    monkeypatch.setattr(trials.Trainer, "__call__", answer)
    lines = TEXT.splitlines()[1:3]
    recipe.write_text("\n".join([*lines, "[search]", "size = { low = 4, high = 8 }"]))
    found = search_recipe(settings(recipe), "best.toml")
    size = found.report.chosen.settings["size"]
    assert tomllib.loads(found.recipe)["network"] == {"hidden_sizes": [size, size]}


def test_several_goals_give_a_front_and_stop_nobody(recipe: Path) -> None:
    goals = goals_of(["size", "latency"], ["accuracy"])
    report = search_recipe(settings(recipe, goals=goals), "best.toml").report
    assert report.goals == ("minimize size", "minimize latency", "maximize accuracy")
    assert report.chosen in report.front
    assert report.pruned == 0
    assert any("several goals" in note for note in report.notes)


def report_with(
    goals: tuple[str, ...], mine: tuple[float, ...], own: tuple[float, ...]
) -> SearchReport:
    return SearchReport(
        study="",
        output="",
        goals=goals,
        figures=(),
        trials=2,
        complete=2,
        pruned=0,
        failed=0,
        again=0,
        new=2,
        front=(),
        chosen=TrialLine(1, mine, {}, 1),
        recipe=TrialLine(0, own, {}, 1),
        deflated=None,
        epochs=2,
        epochs_planned=2,
        wall_seconds=0.0,
        overhead_seconds=0.0,
        jobs=1,
        where="here",
        notes=(),
    )


@pytest.mark.parametrize(
    ("mine", "own", "better"),
    [
        ((1.0, 2.0), (2.0, 1.0), True),
        ((1.0, 1.0), (2.0, 2.0), None),
        ((2.0, 1.0), (1.0, 1.0), False),
        ((1.0, 1.0), (1.0, 1.0), False),
        ((1.0, 3.0), (1.0, 2.0), True),
    ],
)
def test_better_in_one_goal_and_worse_in_another_is_no_verdict(
    mine: tuple[float, float], own: tuple[float, float], better: bool | None
) -> None:
    assert report_with(("minimize latency", "maximize sharpe"), mine, own).better is better
    alone = report_with(("maximize sharpe",), mine[1:], own[1:])
    assert alone.better is (mine[1] > own[1])


def test_a_range_beyond_the_recipe_is_refused_with_its_name(recipe: Path) -> None:
    recipe.write_text(TEXT.replace("low = 1e-4", "low = -1.0").replace(", log = true", ""))
    with pytest.raises(BadRecipe, match=r"training\.learning_rate"):
        search_recipe(settings(recipe), "best.toml")


def test_a_key_that_is_none_is_refused(recipe: Path) -> None:
    recipe.write_text(TEXT.replace("training.learning_rate = {", "training.rate = {"))
    with pytest.raises(BadRecipe, match=r"training\.rate"):
        search_recipe(settings(recipe), "best.toml")


def test_without_a_table_rate_decay_batch_and_size_vary() -> None:
    names = {part.name for part in space_for({"arch": "gru"}, {}).parts}
    assert names == {
        "size",
        "training.batch",
        "training.learning_rate",
        "training.weight_decay",
    }
    own = space_for({"arch": "gru", "network.hidden_sizes": [8]}, {})
    assert "size" not in {part.name for part in own.parts}


def test_a_size_is_a_whole_number() -> None:
    with pytest.raises(BadRecipe, match="size"):
        space_for({}, {"size": {"low": 0.5, "high": 2.0}})
    with pytest.raises(BadSpace):
        space_for({}, {"size": 3})


def test_train_does_not_read_the_table(recipe: Path) -> None:
    assert not any(name.startswith("search") for name in read_recipe(recipe))


def test_the_study_has_a_name_of_its_own(recipe: Path) -> None:
    assert default_study(recipe).name == "recipe.study.journal"


def test_from_the_shell_in_both_forms(recipe: Path) -> None:
    folder = recipe.parent
    words = ("search", str(recipe), "--trials", "1", "-o", str(folder / "best.toml"))
    words += ("--study", str(folder / "study.journal"))
    done = aitrade(*words, "--json", "--plot", str(folder / "a.png"))
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["data"]
    assert told["goals"] == ["minimize loss"]
    assert told["trials"] == 1
    assert (folder / "a.png").read_bytes()[:4] == b"\x89PNG"
    again = aitrade(*words)
    assert again.returncode == 6
    assert aitrade(*words, "--force", "--maximize", "beauty").returncode == 2
