"""Networks and windows that the checks of training step."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aitrade_cli.checks.fixtures import fixtures_folder, model_file
from aitrade_cli.inference.resampling import paired_ratio
from aitrade_cli.market.bars import read_bars
from aitrade_cli.model.architectures import create
from aitrade_cli.model.card import Arch
from aitrade_cli.model.loading import load
from aitrade_cli.model.network import build
from aitrade_cli.model.runtimes.eager import pool_of
from aitrade_cli.training.activations import watched
from aitrade_cli.training.loop import Examples, Labels
from aitrade_cli.training.precision import casting
from aitrade_cli.training.recipe import Recipe
from aitrade_cli.training.run import threads_for
from aitrade_cli.training.trial import Trial
from aitrade_cli.training.walk import FoldExamples, Plan, examples_of, folds_of

WINDOW, FEATURES = 64, 20


@dataclass
class Masked:
    """Cross-entropy over the rows that carry a label; its mean is over those alone."""

    windows: Tensor
    classes: Tensor  # -1 where there is none
    helper: nn.Module = field(default_factory=nn.Identity)

    def __len__(self) -> int:
        return len(self.classes)

    def summed(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        picked = torch.from_numpy(rows)
        said = network(self.windows[picked])
        return functional.cross_entropy(
            said, self.classes[picked], ignore_index=-1, reduction="sum"
        )

    def known(self, rows: np.ndarray) -> int:
        return max(1, int((self.classes[torch.from_numpy(rows)] >= 0).sum()))

    def loss(self, network: nn.Module, rows: np.ndarray) -> Tensor:
        return self.summed(network, rows) / self.known(rows)

    def share(self, network: nn.Module, rows: np.ndarray, window: np.ndarray) -> Tensor:
        return self.summed(network, rows) / self.known(window)

    def validation_loss(self, network: nn.Module) -> float:
        network.eval()
        with torch.no_grad():
            return self.loss(network, np.arange(len(self))).item()


def masked(dtype: torch.dtype) -> Masked:
    """203 rows, so that the last window is ragged, about a third of them without a label."""
    random = torch.Generator().manual_seed(3)
    windows = torch.randn(203, 16, generator=random, dtype=torch.float64).to(dtype)
    classes = torch.randint(0, 3, (203,), generator=random)
    classes[torch.rand(203, generator=random) < 0.35] = -1
    return Masked(windows, classes)


def small_net(dtype: torch.dtype) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(16, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 3)]
        return nn.Sequential(*layers).to(dtype)


def noise_labels(rows: int, *, seed: int = 0) -> Labels:
    """Windows of noise, as long and wide as the fixtures', with labels of chance."""
    random = np.random.default_rng(seed)
    windows = random.normal(size=(rows + 8, WINDOW, FEATURES)).astype(np.float32)
    classes = random.integers(0, 3, rows + 8)
    return Labels(
        Examples(windows[:rows], classes[:rows]), Examples(windows[rows:], classes[rows:])
    )


def network_of(name: str, **config: object) -> nn.Module:
    """A built-in network with fresh weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create(Arch(name, {"features": FEATURES, "classes": 3, **config}))


def fixture_network(name: str) -> nn.Module:
    """A fixture model, ready to be trained further."""
    path = model_file(name)
    network = build(load(path.read_bytes(), name=path.name))
    for weight in network.parameters():
        weight.requires_grad_(True)
    return network


def deep_transformer() -> nn.Module:
    """Six layers of torch's own encoder, dropout included."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.1, batch_first=True)
        encoder = nn.TransformerEncoder(layer, 6, enable_nested_tensor=False)
        return nn.Sequential(nn.Linear(FEATURES, 128), encoder, Last(), nn.Linear(128, 3))


class Last(nn.Module):
    """The newest step of a window."""

    def forward(self, steps: Tensor) -> Tensor:
        return steps[:, -1]


def real_parts() -> FoldExamples:
    """One fold of the bars that the fixture models were trained on."""
    bars = read_bars(fixtures_folder() / "bars" / "eurusd_1h.parquet")
    plan = Plan(folds=1)
    return examples_of(bars, plan, folds_of(bars, plan)[-1])


def speedup_of(plain: Trial, other: Trial) -> tuple[float, float, float]:
    """How many times as fast, and the 95 % interval, over steps that were taken in turns."""
    found = paired_ratio(np.array(plain.seconds)[:, None], np.array(other.seconds)[:, None], seed=0)
    return found.value, found.interval.low, found.interval.high


def bytes_kept(network: nn.Module, goal: Labels, recipe: Recipe) -> int:
    """All that autograd holds when a forward pass is done, parameters not counted."""
    copy = deepcopy(network).train()
    with pool_of(threads_for(copy)), watched(copy.parameters()) as meter:
        with casting(recipe.precision, "cpu")():
            loss = goal.loss(copy, np.arange(recipe.batch))
        held = meter.live_bytes
        del loss
    return held


def noise_epochs(seed: int, looks: int, kinship: float) -> tuple[np.ndarray, list[float]]:
    """Daily returns of the luckiest of many epochs without an edge, and the Sharpe of each."""
    random = np.random.default_rng(seed)
    common = random.normal(size=252) * math.sqrt(kinship)
    every = common + random.normal(size=(looks, 252)) * math.sqrt(1.0 - kinship)
    sharpes = every.mean(axis=1) / every.std(axis=1, ddof=1)
    return every[sharpes.argmax()], [float(one) for one in sharpes]
