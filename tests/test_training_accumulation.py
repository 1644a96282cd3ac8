"""Accumulation: the mathematics of the whole step, in parts."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.training.activations import watched
from aitrade_cli.training.distillation import Answers, Distillation
from aitrade_cli.training.labels import UNKNOWN
from aitrade_cli.training.legality import NotEqual
from aitrade_cli.training.lessons import Lessons
from aitrade_cli.training.loop import Examples, Labels, fresh
from aitrade_cli.training.run import Hooks, Recipe, pursue
from tests.test_training_loop import arch, planted

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@dataclass
class Masked:
    """Cross-entropy over the rows that carry a label, in any float type."""

    windows: Tensor
    classes: Tensor  # -1 where there is none
    shares: bool = True
    helper: nn.Module = field(default_factory=nn.Identity)

    def __post_init__(self) -> None:
        if self.shares:
            self.share = self.share_of

    def __len__(self) -> int:
        return len(self.classes)

    def summed(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        picked = torch.from_numpy(rows)
        logits = network(self.windows[picked])
        return functional.cross_entropy(
            logits, self.classes[picked], ignore_index=-1, reduction="sum"
        )

    def known(self, rows: np.ndarray) -> int:
        return max(1, int((self.classes[torch.from_numpy(rows)] >= 0).sum()))

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        return self.summed(network, rows) / self.known(rows)

    def share_of(self, network: nn.Module, rows: np.ndarray, window: np.ndarray) -> Tensor:
        return self.summed(network, rows) / self.known(window)

    def validation_loss(self, network: nn.Module) -> float:
        with torch.no_grad():
            return self.loss(network.eval(), np.arange(len(self))).item()


def masked(dtype: torch.dtype, *, shares: bool = True) -> Masked:
    """103 rows, so that the last window is ragged, a third of them without a label."""
    random = torch.Generator().manual_seed(3)
    windows = torch.randn(103, 6, generator=random, dtype=dtype)
    classes = torch.randint(0, 3, (103,), generator=random)
    classes[torch.rand(103, generator=random) < 0.35] = -1
    return Masked(windows, classes, shares)


def net(dtype: torch.dtype) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(6, 24), nn.LayerNorm(24), nn.Tanh(), nn.Linear(24, 3)]
        return nn.Sequential(*layers).to(dtype)


def trained(objective: Masked, dtype: torch.dtype, accumulate: int) -> Tensor:
    recipe = Recipe(epochs=3, batch=32, learning_rate=1e-3, patience=9, clip_norm=0.05)
    network = net(dtype)
    last: list[Tensor] = []

    def look(network: nn.Module, _step: int, _steps: int) -> None:
        last[:] = [torch.cat([one.detach().flatten() for one in network.parameters()])]

    hooks = Hooks(after_step=look)
    pursue(network, objective, replace(recipe, accumulate=accumulate), hooks=hooks)
    return last[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("parts", [2, 3, 8, 32])
def test_a_step_in_parts_is_the_whole_step_with_ragged_and_masked_windows(
    dtype: torch.dtype, parts: int
) -> None:
    whole = trained(masked(dtype), dtype, 1)
    apart = trained(masked(dtype), dtype, parts)
    assert (whole - apart).abs().max() <= TOLERANCE[dtype]


def test_a_mean_of_means_would_be_noticed() -> None:
    whole = trained(masked(torch.float64), torch.float64, 1)
    naive = trained(masked(torch.float64, shares=False), torch.float64, 3)
    assert (whole - naive).abs().max() > 1e-4


def test_parts_take_no_more_steps_of_the_schedule_than_the_whole() -> None:
    recipe = Recipe(epochs=2, batch=32, schedule="onecycle")
    data = planted(100), planted(40, seed=1)
    whole = pursue(fresh(arch("mlp"), 1), Labels(*data), recipe)
    apart = pursue(fresh(arch("mlp"), 1), Labels(*data), replace(recipe, accumulate=5))
    assert whole.steps == apart.steps == 2 * 4
    assert whole.best.training_loss == pytest.approx(apart.best.training_loss, abs=1e-6)


def test_a_distilled_loss_with_unknown_labels_is_cut_up_by_its_labels() -> None:
    random = np.random.default_rng(0)
    examples = planted(60)
    examples.classes[random.random(60) < 0.4] = UNKNOWN
    logits = random.normal(size=(60, 3)).astype(np.float32)
    lessons = Lessons(examples, logits, planted(10), logits[:10])
    goal, network = Answers(lessons, Distillation(2.0, 0.5)), fresh(arch("gru"), 1)
    rows = np.arange(60)
    shares = [goal.share(network, part, rows) for part in np.split(rows, [7, 20, 59])]
    assert torch.stack(shares).sum().item() == pytest.approx(
        goal.loss(network, rows).item(), abs=1e-6
    )


def test_512_windows_in_eight_parts_keep_a_fifth_of_the_activations() -> None:
    peaks = []
    for parts in (1, 8):
        network = fresh(arch("transformer"), 1)
        recipe = Recipe(epochs=1, batch=512, accumulate=parts)
        with watched(network.parameters()) as meter:
            pursue(network, Labels(planted(512), planted(8)), recipe)
        assert meter.live_bytes == 0
        peaks.append(meter.peak_bytes)
    assert peaks[1] <= 0.2 * peaks[0]


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(24), nn.Linear(24, 3)

    def forward(self, window: Tensor) -> Tensor:
        return self.head(self.norm(window.flatten(1)))


def test_batch_norm_is_warned_of_because_it_cannot_be_equal() -> None:
    data = Labels(planted(64), planted(16))
    with pytest.warns(NotEqual, match="mean over each part"):
        pursue(Normed(), data, Recipe(epochs=1, accumulate=2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pursue(Normed(), data, Recipe(epochs=1))


def test_examples_without_labels_share_nothing() -> None:
    goal = Labels(Examples(planted(8).windows, planted(8).classes), planted(8))
    network = fresh(arch("mlp"), 1)
    rows = np.arange(8)
    parts = goal.share(network, rows[:3], rows) + goal.share(network, rows[3:], rows)
    assert parts.item() == pytest.approx(goal.loss(network, rows).item(), abs=1e-6)
