"""A trial is trained as `train` would, and counts only where its recipe lets it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.passes.train.run import train_here
from aitrade_cli.passes.train.settings import settings_of
from aitrade_cli.search import trials
from aitrade_cli.search.answers import Answer
from aitrade_cli.search.objectives import goals_of
from aitrade_cli.search.run import NothingFound, Settings, search_recipe
from aitrade_cli.search.trials import NoAnswer, Recipes, settings_for, size_of
from aitrade_cli.training.precision import has_units
from aitrade_cli.training.students import CONFIGS
from tests.shell import ROOT

SHARPE = goals_of([], ["sharpe"])
VALUES: dict[str, Any] = {
    "arch": "mlp",
    "data": f"{ROOT}/fixtures/bars/nasdaq_1d.parquet",
    "split.window": 8,
    "split.test_rows": 128,
    "split.stride": 16,
    "training.epochs": 3,
    "training.schedule": "constant",
    "network.hidden_sizes": [4],
    "report.leaks": "none",
}
TEXT = f"""
arch = "mlp"
data = "{ROOT}/fixtures/bars/nasdaq_1d.parquet"
split = {{ window = 8, test_rows = 128, stride = 16 }}
training = {{ epochs = 3, early_stop = "EARLY" }}
network = {{ hidden_sizes = [4] }}
search.training.learning_rate = {{ low = 0.001, high = 0.01 }}
"""


class Own(nn.Module):
    """Dropout draws from torch's generator; what is wrong with it shows when it is asked."""

    def __init__(self, features: int, wide: int, *, learns: bool = True) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(features, wide)
        self.learns = learns

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        if self.training and not self.learns:
            raise KeyError("learns")
        return self.head(self.drop(window[:, -1]))


def own(features: int, classes: int, wide: int = 3, learns: bool = True) -> nn.Module:
    return Own(features if wide else classes + 1, max(1, wide), learns=learns)


def asked(values: dict[str, Any]) -> Answer:
    return Recipes({**VALUES, **values}, SHARPE).open()({}, lambda *_: False)


OWN = {"arch": "tests.test_search_trials:own", "network.wide": 3}


@pytest.mark.parametrize(
    "values",
    [
        {"training.amp": "bf16", "training.average": 0.9, "training.early_stop": "sharpe:max"},
        {**OWN, "training.batch": 24, "training.accumulate": 3, "seed": 5},
    ],
)
def test_a_trial_comes_to_what_train_comes_to(values: dict[str, Any]) -> None:
    if values.get("training.amp") == "bf16" and not has_units("bf16", "cpu"):
        values = {**values, "training.amp": "fp32"}
    told = {**VALUES, **values}
    if "arch" in values:
        del told["network.hidden_sizes"]
    report = train_here(settings_of(None, told), "model.pt").report
    answer = Recipes(told, SHARPE).open()({}, lambda *_: False)
    best = report.epochs[report.best_epoch - 1]
    assert {name: answer.figures[name] for name in best.figures} == dict(best.figures)
    assert answer.figures["loss"] == best.validation_loss
    assert answer.epochs == len(report.epochs)


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ({"wide": 0}, "settings: RuntimeError: mat1 and mat2"),
        ({"wide": 2}, "wanted"),
        ({"learns": False}, "settings: KeyError: 'learns'"),
    ],
)
def test_a_network_of_ones_own_that_fails_is_no_bug(broken: dict[str, Any], told: str) -> None:
    recipes = {name: VALUES[name] for name in VALUES if not name.startswith("network.")}
    told_of = {f"network.{name}": value for name, value in broken.items()}
    trainer = Recipes({**recipes, **OWN, **told_of}, SHARPE).open()
    with pytest.raises(NoAnswer, match=told):
        trainer({}, lambda *_: False)


@pytest.mark.parametrize(
    ("error", "seen"),
    [
        (torch.OutOfMemoryError("out of memory\nmore"), NoAnswer),
        (RuntimeError("no working compiler"), NoAnswer),
        (KeyError("a bug of ours"), KeyError),
        (BadInput("known"), BadInput),
    ],
)
def test_what_torch_cannot_do_costs_one_trial_and_a_bug_the_search(
    monkeypatch: pytest.MonkeyPatch, error: Exception, seen: type[Exception]
) -> None:
    def failing(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(trials, "pursue", failing)
    with pytest.raises(seen) as found:
        asked({})
    assert type(found.value) is seen
    assert "more" not in str(found.value)


@pytest.mark.parametrize("arch", CONFIGS)
def test_a_recipe_of_one_width_is_a_size_that_a_search_can_hold(arch: str) -> None:
    recipe = {"arch": arch, "data": "bars", "split.window": 32}
    assert size_of(settings_for(recipe, {"size": 64})) == 64
    assert size_of(settings_for({**recipe, **OWN}, {})) is None


def test_what_no_size_gives_has_none() -> None:
    recipe = {"arch": "lstm", "data": "bars"}
    assert size_of(settings_for(recipe, {})) == 128
    assert size_of(settings_for({**recipe, "network.hidden_sizes": [8, 4]}, {})) is None
    tcn = {**recipe, "arch": "tcn"}
    half = settings_for(tcn, {"size": 8}).values
    assert size_of(settings_for({**half, "network.inner_channels": [4] * 5}, {})) is None


def test_every_pass_is_a_look_where_the_best_earning_one_is_kept() -> None:
    answer = asked({"training.early_stop": "sharpe:max"})
    assert len(answer.looks) == answer.epochs == 3
    assert answer.figures["sharpe_per_bar"] == pytest.approx(max(answer.looks))
    assert asked({"training.early_stop": "loss:min"}).looks == ()
    assert asked({"training.early_stop": "accuracy:max,sharpe:min"}).looks == ()


@pytest.mark.parametrize(("early", "looks"), [("sharpe:max", 6), ("", 2)])
def test_luck_is_that_of_all_looks(tmp_path: Path, early: str, looks: int) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT.replace("EARLY", early))
    report = search_recipe(Settings(path, SHARPE, 2, tmp_path / "journal"), "best.toml").report
    assert report.deflated is not None
    assert report.deflated.looks == looks
    assert report.deflated.luck > 0.0


def test_a_trial_that_breaks_a_limit_is_not_the_best(tmp_path: Path) -> None:
    path, said = tmp_path / "recipe.toml", list[str]()
    path.write_text(TEXT.replace("EARLY", "sharpe:max,drawdown:<0.0001"))
    with pytest.raises(NothingFound, match=r"drawdown of .* breaks the limit `<0.0001`"):
        search_recipe(Settings(path, SHARPE, 2, tmp_path / "journal"), "best.toml", said.append)
    assert said[-1].startswith("2 of 2 trials; the last has no answer: drawdown")
    path.write_text(TEXT.replace("EARLY", "sharpe:max,drawdown:<0.9999"))
    report = search_recipe(Settings(path, SHARPE, 2, tmp_path / "other"), "best.toml").report
    assert report.complete == 2


def test_what_a_trial_without_an_answer_cost_is_told_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: object, values: dict[str, Any], __: object) -> Answer:
        low = values["training.learning_rate"] == 0.001
        figures = {"sharpe_per_bar": 0.1, "skewness": 0.0, "kurtosis": 3.0, "bars": 100.0}
        looks = (0.1, 0.0, math.sqrt(0.02))
        return Answer((1.0,), figures, 3, 3, looks=looks, refused="too deep" if low else "")

    monkeypatch.setattr(trials.Trainer, "__call__", answer)
    path = tmp_path / "recipe.toml"
    path.write_text(TEXT.replace("EARLY", "sharpe:max"))
    report = search_recipe(Settings(path, SHARPE, 4, tmp_path / "journal"), "best.toml").report
    assert report.complete + report.failed == 4
    assert report.failed > 0
    assert (report.epochs, report.epochs_planned) == (12, 12)
    assert report.deflated is not None
    assert report.deflated.looks == 12
    assert np.isfinite(report.deflated.luck)
