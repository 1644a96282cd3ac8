"""Small networks of every architecture, with a chosen half of their units dead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from aitrade_cli.model.architectures import create
from aitrade_cli.model.architectures.transformer import Transformer
from aitrade_cli.model.card import Arch
from aitrade_cli.model.pruning import Scores
from aitrade_cli.model.pruning.residual import writers_of
from aitrade_cli.model.pruning.verify import silence

FEATURES: Final = 5
WINDOW: Final = 12

CONFIGS: Final[dict[str, dict[str, Any]]] = {
    "mlp": {"window": WINDOW, "hidden_sizes": [48, 32]},
    "lstm": {"hidden_sizes": [32, 48]},
    "gru": {"hidden_sizes": [48, 32]},
    "tcn": {"channels": [32, 32, 48], "inner_channels": [32, 48, 32], "kernel_size": 2},
    "transformer": {
        "width": 32,
        "heads": [4, 2],
        "head_size": 8,
        "ffn_sizes": [64, 32],
        "age_waves": 2,
    },
    "deeplob": {"channels": [32] * 9, "branches": [32, 32, 48, 32, 32], "hidden_size": 32},
}


def arch_named(name: str) -> Arch:
    return Arch(name, {"features": FEATURES, "classes": 3, **CONFIGS[name]})


def network_named(name: str, seed: int = 0) -> nn.Module:
    """Fresh weights; the global random generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(arch_named(name)).eval()


def some_windows(count: int = 64, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, WINDOW, FEATURES)).astype(np.float32)


def kill(network: nn.Module, scores: Scores, seed: int = 0) -> Scores:
    """Make every other unit of each group dead, at random, and give the dead a score of zero.

    Dead is what nobody reads; in a residual stream it is what always equals the mean.
    """
    rng = np.random.default_rng(seed)
    ranked = []
    for one in scores.ranked:
        dead = rng.permutation(one.group.units)[: one.group.units // 2]
        silence(network, one.group, dead)
        score = rng.uniform(1.0, 2.0, one.group.units)
        score[dead] = 0.0
        ranked.append(replace(one, score=score))
    if isinstance(network, Transformer):
        flatten(network, rng.permutation(network.norm.normalized_shape[0]))
    return replace(scores, ranked=tuple(ranked))


def flatten(network: Transformer, order: np.ndarray) -> None:
    """Let half of the residual stream always equal the mean of the other half."""
    live, dead = order[: len(order) // 2], order[len(order) // 2 :]
    with torch.no_grad():
        for writer in writers_of(network):
            for tensor in (writer.weight, writer.bias):
                if tensor is not None:
                    tensor[dead] = tensor[live].mean(dim=0)


def answers(network: nn.Module, windows: np.ndarray) -> Tensor:
    with torch.inference_mode():
        return network(torch.from_numpy(windows))
