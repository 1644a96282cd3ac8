"""One table of what may not go together; settings out of their ranges; the order of stages."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from aitrade_cli.errors import Usage
from aitrade_cli.training.build import Build, adamw
from aitrade_cli.training.callbacks import Callback
from aitrade_cli.training.legality import (
    FEATURES,
    TABLE,
    NotEqual,
    NotTogether,
    Pair,
    refuse_illegal,
)
from aitrade_cli.training.loop import Labels, fresh
from aitrade_cli.training.placement import Alone
from aitrade_cli.training.run import Hooks, Recipe, Run, pursue
from tests.test_training_loop import arch, planted


@pytest.mark.parametrize("pair", TABLE, ids=lambda pair: f"{pair.one} x {pair.other}")
def test_every_row_of_the_table_says_its_reason(pair: Pair) -> None:
    assert {pair.one, pair.other} <= set(FEATURES)
    both = {pair.one, pair.other}
    if pair.refused:
        with pytest.raises(NotTogether, match="together") as refused:
            refuse_illegal(both)
        assert pair.reason in str(refused.value)
        assert refused.value.hint
    else:
        with pytest.warns(NotEqual, match="together"):
            refuse_illegal(both)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refuse_illegal({pair.one})
        refuse_illegal({pair.other})


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"accumulate": 0},
        {"accumulate": 65},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"average": 1.0},
        {"clip_norm": 0.0},
        {"warmup_share": 1.0},
        {"schedule": "warp"},
        {"early_stop": "sharp:max"},
    ],
    ids=str,
)
def test_a_setting_out_of_its_range_is_refused_before_the_first_step(wrong: Any) -> None:
    recipe = replace(Recipe(epochs=1), **wrong)
    with pytest.raises(Usage):
        pursue(fresh(arch("mlp"), 1), Labels(planted(64), planted(16)), recipe)


def test_stages_run_in_the_one_order_that_works() -> None:
    # long because every stage is planted with a witness
    order: list[str] = []

    class Wraps(Alone):
        def wrap(self, network: nn.Module) -> nn.Module:
            order.append("place")
            return network

    class Looks(Callback):
        name = "looks"
        stages: tuple[str, ...] = ()

        def on_start(self, run: Run) -> None:
            order.append("start")
            Looks.stages = run.stages

    def adapt(network: nn.Module) -> None:
        order.append("adapt")
        for weight in network.parameters():
            weight.requires_grad_(False)
        network.head.weight.requires_grad_(True)  # type: ignore[union-attr]

    def optimizer(parameters: Any, recipe: Recipe) -> torch.optim.Optimizer:
        order.append("optimizer")
        assert len(parameters) == 1  # frozen weights are not the optimizer's
        return adamw(parameters, recipe)

    network = fresh(arch("tcn"), 1)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    recipe = Recipe(epochs=1, batch=32, activation_checkpointing=True)
    pursue(
        network,
        Labels(planted(64), planted(16)),
        recipe,
        hooks=Hooks(callbacks=(Looks(),)),
        build=Build(adapt, optimizer),
        placement=Wraps(),
    )
    assert order == ["adapt", "place", "optimizer", "start"]
    assert Looks.stages == ("adapt", "activation_checkpointing", "place", "optimizer")
    changed = {n for n, value in network.state_dict().items() if not torch.equal(value, before[n])}
    assert changed == {"head.weight"}


def test_a_step_is_unscaled_clipped_taken_scheduled_and_averaged_in_this_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # long because everything that a step calls is planted with a witness
    order: list[str] = []

    class Scaler:
        """Overflows in the second step."""

        value, steps = 4.0, 0

        def scale(self, loss: torch.Tensor) -> torch.Tensor:
            return loss * self.value

        def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
            order.append("unscale")
            for group in optimizer.param_groups:
                for weight in group["params"]:
                    weight.grad /= self.value

        def step(self, optimizer: torch.optim.Optimizer) -> None:
            self.steps += 1
            if self.steps != 2:
                order.append("step")
                optimizer.step()

        def update(self) -> None:
            if self.steps == 2:
                self.value /= 2

        def get_scale(self) -> float:
            return self.value

        def state_dict(self) -> dict[str, Any]:
            return {}

    class Clips(Alone):
        def clip(self, parameters: Any, norm: float) -> None:
            order.append("clip")
            super().clip(parameters, norm)

    class Looks(Callback):
        def on_start(self, run: Run) -> None:
            step, average = run.schedule.step, run.average
            assert average is not None
            update = average.update
            monkeypatch.setattr(run.schedule, "step", lambda: (order.append("schedule"), step()))
            monkeypatch.setattr(
                average, "update", lambda given: (order.append("average"), update(given))
            )

        def on_step(self, run: Run) -> None:
            order.append(f"told {run.step}, scheduled {run.schedule.done}")

    monkeypatch.setattr("aitrade_cli.training.step.scaler_of", lambda *_: Scaler())
    recipe = Recipe(epochs=1, batch=32, average=0.9)
    fit = pursue(
        fresh(arch("mlp"), 1),
        Labels(planted(96), planted(16)),
        recipe,
        hooks=Hooks(callbacks=(Looks(),)),
        placement=Clips(),
    )
    taken = ["unscale", "clip", "step", "schedule", "average"]
    skipped = ["unscale", "clip", "told 2, scheduled 1"]
    third = [*taken, "told 3, scheduled 2"]
    assert order == [*taken, "told 1, scheduled 1", *skipped, *third]
    assert (fit.steps, fit.skipped) == (3, 1)
