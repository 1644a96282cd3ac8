"""A run: the same as a plain loop, open to hooks, and the same after it was cut off."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional

from aitrade_cli.training.checkpoints.folder import CheckpointFolder
from aitrade_cli.training.checkpoints.kept import Kept
from aitrade_cli.training.loop import Labels, fit, fresh, tensor_of
from aitrade_cli.training.run import Hooks, Recipe, pursue
from tests.shell import ROOT, surroundings
from tests.test_training_loop import arch, planted
from tests.training_cases import AfterEachPass

RECIPE = Recipe(epochs=5, batch=32, learning_rate=5e-3, patience=5, seed=3)
KEY = {"seed": 3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums come in another order with more threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def plain_loop(network: nn.Module, recipe: Recipe) -> None:
    """AdamW, warm-up and cosine, clipping, in as many words; the last epoch's weights."""
    examples = planted(200)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    order = torch.Generator().manual_seed(recipe.seed)
    steps = recipe.epochs * math.ceil(len(examples) / recipe.batch)
    warm, step = max(1, round(0.1 * steps)), 0
    network.train()
    for _ in range(recipe.epochs):
        for rows in torch.randperm(len(examples), generator=order).split(recipe.batch):
            cosine = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
            rate = (step + 1) / warm if step < warm else cosine
            optimizer.param_groups[0]["lr"] = recipe.learning_rate * rate
            picked = rows.numpy()
            loss = functional.cross_entropy(
                network(tensor_of(examples.windows[picked])),
                torch.from_numpy(examples.classes[picked]),
            )
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_norm)
            optimizer.step()
            step += 1


@pytest.mark.parametrize("name", ["mlp", "gru", "transformer"])
def test_a_fit_is_a_plain_loop_bit_by_bit(name: str) -> None:
    obvious, ours = fresh(arch(name), 1), fresh(arch(name), 1)
    plain_loop(obvious, RECIPE)
    # Every epoch better than the one before, so that the last one is kept.
    falling = iter(range(100, 0, -1))

    class Falling(Labels):
        def validation_loss(self, network: nn.Module) -> float:
            assert isinstance(network, nn.Module)
            return float(next(falling))

    pursue(ours, Falling(planted(200), planted(50)), RECIPE)
    assert same(obvious, ours)


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_run_that_went_on_is_the_run_that_was_never_cut_off(after: int) -> None:
    whole, resumed, passes = fresh(arch("gru"), 1), fresh(arch("gru"), 1), AfterEachPass()
    hooks = Hooks(callbacks=(passes,))
    told = fit(whole, planted(200), planted(60, seed=1), RECIPE, hooks=hooks)
    state = passes.states[after - 1]
    again = fit(resumed, planted(200), planted(60, seed=1), RECIPE, state=state)
    assert again == told
    assert same(whole, resumed)


KILLED = """
import os, sys
import torch
from pathlib import Path
from aitrade_cli.training.checkpoints.folder import CheckpointFolder
from aitrade_cli.training.loop import fit, fresh
from aitrade_cli.training.run import Hooks
from tests.test_training_checkpoints_keeper import Patient
from tests.test_training_loop import arch, planted
from tests.test_training_run import KEY, RECIPE
torch.set_num_threads(1)
steps = int(sys.argv[2])
def die(network, step, of):
    if step == steps:
        os.kill(os.getpid(), 9)
hooks = Hooks(after_step=die, callbacks=(Patient(CheckpointFolder(Path(sys.argv[1])), KEY),))
fit(fresh(arch("tcn"), 1), planted(200), planted(60, seed=1), RECIPE, hooks=hooks)
"""


def test_killed_in_the_middle_of_an_epoch_it_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "17"],
        env=surroundings(),
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == -9
    said: list[str] = []
    state, _ = Kept(CheckpointFolder(tmp_path), KEY, resume=True).taken_up(said.append)
    assert said == ["going on after step 14"]
    assert state is not None
    assert len(state.epochs) == 2  # 7 steps each
    whole, resumed = fresh(arch("tcn"), 1), fresh(arch("tcn"), 1)
    told = fit(whole, planted(200), planted(60, seed=1), RECIPE)
    assert fit(resumed, planted(200), planted(60, seed=1), RECIPE, state=state) == told
    assert same(whole, resumed)


def test_hooks_see_every_step_and_decide_what_counts_and_when_to_end() -> None:
    seen: list[tuple[int, int]] = []
    hooks = Hooks(
        after_step=lambda _network, step, steps: seen.append((step, steps)),
        counts=lambda number: number >= 3,
        enough=lambda: len(seen) >= 9,
    )
    recipe = Recipe(epochs=5, batch=32, patience=1)
    run = fit(fresh(arch("mlp"), 1), planted(64), planted(32), recipe, hooks=hooks)
    assert seen == [(step, 10) for step in range(1, 10)]
    assert [epoch.best for epoch in run.epochs[:3]] == [False, False, True]
    assert len(run.epochs) <= 5


def test_what_a_hook_sets_to_zero_is_zero_in_the_weights_that_are_kept() -> None:
    def mask(network: nn.Module, step: int, _steps: int) -> None:
        if step > 4:
            with torch.no_grad():
                next(network.parameters())[:4] = 0.0

    network = fresh(arch("mlp"), 1)
    hooks = Hooks(after_step=mask, counts=lambda number: number > 2)
    fit(network, planted(64), planted(32), Recipe(epochs=4, batch=32), hooks=hooks)
    assert next(network.parameters())[:4].abs().max() == 0.0
