"""A trial is trained as `train` would, and counts only where its recipe lets it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from aitrade_cli.passes.train.run import train_here
from aitrade_cli.passes.train.settings import settings_of
from aitrade_cli.search import trials
from aitrade_cli.search.answers import Answer
from aitrade_cli.search.objectives import goals_of
from aitrade_cli.search.run import NothingFound, Settings, search_recipe
from aitrade_cli.search.trials import NoAnswer, Recipes
from aitrade_cli.training.precision import has_units
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
search.training.learning_rate = [0.001, 0.01]
"""


class Own(nn.Module):
    """Dropout draws from torch's generator; a layer that is wrong is so only when it is asked."""

    def __init__(self, features: int, wide: int) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(features, wide)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(window[:, -1]))


def own(features: int, classes: int, wide: int = 3) -> nn.Module:
    return Own(features if wide else classes, max(1, wide))


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


@pytest.mark.parametrize(("wide", "told"), [(0, "fails on a window: RuntimeError"), (2, "wanted")])
def test_a_network_of_ones_own_that_cannot_answer_is_no_bug(wide: int, told: str) -> None:
    recipes = {name: VALUES[name] for name in VALUES if not name.startswith("network.")}
    trainer = Recipes({**recipes, **OWN, "network.wide": wide}, SHARPE).open()
    with pytest.raises(NoAnswer, match=told):
        trainer({}, lambda *_: False)


def test_a_network_that_the_gpu_has_no_room_for_is_one_trial_without_an_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(trials, "pursue", full)
    with pytest.raises(NoAnswer, match="memory"):
        asked({})


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
        low = values["training.learning_rate"] < 0.005
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
