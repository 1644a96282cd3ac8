"""Every key of `[search]` changes what a trial trains, or is refused with the reason."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from aitrade_cli.errors import AitradeError, BadInput
from aitrade_cli.model.architectures import UnknownArchitecture
from aitrade_cli.passes.train import prepare
from aitrade_cli.passes.train.recipe_file import KEYS, BadRecipe
from aitrade_cli.search import trials
from aitrade_cli.search.objectives import goals_of
from aitrade_cli.search.trials import Recipes, Trainer
from aitrade_cli.search.varied import (
    CannotVary,
    read_searched,
    refuse_other_labels,
    space_for,
)
from aitrade_cli.training.batch_size import BatchChoice
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import device_of
from aitrade_cli.training.trading import TradedLabels
from tests.shell import ROOT

VALUES: dict[str, Any] = {
    "arch": "mlp",
    "data": f"{ROOT}/fixtures/bars/nasdaq_1d.parquet",
    "split.window": 8,
    "split.test_rows": 128,
    "split.stride": 16,
    "network.hidden_sizes": [4],
}
PAIRS: dict[str, list[Any]] = {
    "arch": ["mlp", "tests.test_search_varied:own"],
    "seed": [1, 2],
    "device": ["cpu", "cuda"],
    "split.features": [["log_return"], ["log_return", "range"]],
    "split.window": [8, 9],
    "split.horizon": [8, 12],
    "split.lookback": [4, 5],
    "split.volatility_bars": [64, 16],
    "split.flat_share": [0.2, 0.3],
    "split.embargo": [64, 32],
    "split.clip": [5.0, 1.0],
    "split.stride": [16, 17],
    "training.epochs": [1, 2],
    "training.batch": [0, 7],
    "training.accumulate": [1, 2],
    "training.learning_rate": [0.1, 0.2],
    "training.weight_decay": [0.1, 0.2],
    "training.clip_norm": [0.5, 1.0],
    "training.schedule": ["cosine", "linear"],
    "training.warmup_share": [0.1, 0.2],
    "training.restart_epochs": [1, 2],
    "training.restart_factor": [1, 2],
    "training.amp": ["fp32", "bf16"],
    "training.activation_checkpointing": [True, False],
    "training.compile": [True, False],
    "training.average": [0.5, 0.9],
    "training.early_stop": ["sharpe:max", "loss:min"],
    "training.patience": [1, 2],
    "training.fused": [True, False],
}


REFUSED: dict[str, list[Any]] = {
    "data": ["a", "b"],
    "symbol": ["a", "b"],
    "split.folds": [1, 2],
    "training.workers": [0, 1],
    "split.test_rows": [128, 256],
    "split.validation_share": [0.1, 0.2],
    "training.lora": ["", "r=8"],
    "training.hogwild": [0, 2],
    "spread.devices": [1, 2],
    "spread.shard": ["none", "full"],
    "spread.compress_gradients": ["none", "bf16"],
    "spread.offload": [True, False],
    "costs.fee_bps": [0.1, 0.2],
    "costs.slippage_bps": [0.1, 0.2],
    "checkpoint.every_steps": [1, 2],
    "checkpoint.every_epochs": [1, 2],
    "checkpoint.weights_only": [True, False],
    "checkpoint.keep": [1, 2],
    "report.leaks": ["none", "full"],
    "report.tensorboard": [True, False],
}


class Flat(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.head = nn.Linear(features, 3)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        return self.head(window[:, -1])


def own(features: int, classes: int, hidden_sizes: list[int]) -> nn.Module:
    del classes, hidden_sizes
    return Flat(features)


class Seen(BadInput):
    """Raised instead of training."""


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    def seen(network: nn.Module, objective: TradedLabels, recipe: Recipe, **_: object) -> None:
        weights = [float(one.detach().double().sum()) for one in network.parameters()]
        told = (asdict(recipe), repr(network), weights, device_of(network).type)
        windows = objective.training.windows.astype("float64").sum()
        raise Seen(f"{told} {windows} {objective.training.classes.sum()} {len(objective.windows)}")

    def found(*_: object, **__: object) -> BatchChoice:
        return BatchChoice(24, 24, 1, ())

    monkeypatch.setattr(trials, "pursue", seen)
    monkeypatch.setattr(prepare, "find_batch", found)  # by measurement, so another each time
    return Recipes(VALUES, goals_of([], ["sharpe"])).open()


def fate(trainer: Trainer, name: str, value: Any) -> str:
    """What a trial would train; or why it cannot here, such as a format without units."""
    with pytest.raises(AitradeError) as found:
        trainer({name: value}, lambda *_: False)
    return str(found.value)


def test_every_key_of_a_recipe_is_known_to_vary_or_not_to() -> None:
    assert {key.name for key in KEYS} == PAIRS.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", PAIRS)
def test_a_key_that_varies_changes_what_a_trial_trains(trainer: Trainer, name: str) -> None:
    space_for(VALUES, {name: PAIRS[name]})
    one, other, again = (fate(trainer, name, PAIRS[name][place]) for place in (0, 1, 0))
    assert one == again
    assert one != other


@pytest.mark.parametrize("name", REFUSED)
def test_a_key_that_cannot_vary_is_refused_with_the_reason(name: str) -> None:
    with pytest.raises(CannotVary, match=f"`{name}` cannot vary: ") as found:
        space_for(VALUES, {name: REFUSED[name]})
    assert found.value.hint


def test_a_key_that_does_nothing_would_be_noticed(trainer: Trainer) -> None:
    assert fate(trainer, "split.folds", 1) == fate(trainer, "split.folds", 2)


SIZES = {"size": {"low": 4, "high": 8}}


@pytest.mark.parametrize(
    ("values", "table", "told"),
    [
        ({"arch": "my.networks:make"}, SIZES, "my.networks:make"),
        ({"arch": 'lstm{"hidden_sizes": [8]}'}, SIZES, "hidden_sizes"),
        ({}, {**SIZES, "arch": ["gru", "my.networks:make"]}, "my.networks:make"),
        ({}, {**SIZES, "network.hidden_sizes": [[4], [8]]}, "network.hidden_sizes"),
        ({"split.embargo": 0}, {"split.horizon": [4, 68]}, "split.horizon"),
    ],
)
def test_what_undoes_another_key_is_refused(
    values: dict[str, Any], table: dict[str, Any], told: str
) -> None:
    with pytest.raises(CannotVary, match=re.escape(told)) as found:
        space_for(values, table)
    assert found.value.hint


def test_horizons_vary_as_far_as_windows_and_embargo_leave_bars_free() -> None:
    space = space_for({"split.embargo": 0}, {"split.horizon": [4, 67]})
    with pytest.raises(CannotVary, match="labels of its own"):
        refuse_other_labels(space, goals_of(["loss"], []))
    refuse_other_labels(space, goals_of([], ["sharpe"]))


@pytest.mark.parametrize("table", [{"arch": ["lstm", "lsmt"]}, {"seed": [1, 2]}])
def test_an_architecture_that_is_none_is_refused_before_the_first_trial(
    table: dict[str, Any],
) -> None:
    with pytest.raises(UnknownArchitecture, match="lsmt"):
        space_for({"arch": "lsmt"}, table)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "names no bars"),
        ('data = "a"\ntraining.lora = "r=8"', r"training\.lora"),
        ('data = "a"\ntraining.hogwild = 2', r"training\.hogwild"),
    ],
)
def test_a_recipe_that_no_trial_can_be_made_of_is_refused(
    tmp_path: Path, line: str, told: str
) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(line)
    with pytest.raises(BadRecipe, match=told) as found:
        read_searched(path)
    assert "--data" not in found.value.hint
