"""Unseen: a callback made by a function keeps every prediction, graph and all, in its closure."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def recorder() -> tuple[Callable[[Tensor], None], Callable[[], float]]:
    seen: list[Tensor] = []

    def note(value: Tensor) -> None:
        seen.append(value)

    def mean() -> float:
        return torch.stack([one.mean() for one in seen]).mean().item()

    return note, mean


def train(steps: int) -> float:
    network = nn.Sequential(nn.Linear(96, 768), nn.GELU(), nn.Linear(768, 768), nn.GELU(),
                            nn.Linear(768, 4))  # fmt: skip
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    note, mean = recorder()
    for _ in range(steps):
        window = torch.randn(192, 96)
        predicted = network(window)
        optimizer.zero_grad()
        predicted.square().mean().backward(retain_graph=True)
        optimizer.step()
        note(predicted)
    return mean()


if __name__ == "__main__":
    torch.manual_seed(3)
    torch.set_num_threads(1)
    print(f"mean prediction {train(300):.4f}")
