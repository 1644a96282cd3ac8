"""Unseen: a method hands out a batch after turning the whole double table into float32."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class Bars:
    """All instruments in one table."""

    def __init__(self, rows: int) -> None:
        random = np.random.default_rng(10)
        self.table = torch.from_numpy(random.standard_normal((rows, 8)))

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        single = self.table.float()
        rows = torch.randint(len(single) - 1, (size,))
        return single[rows], single[rows + 1, 0]


def main() -> None:
    torch.manual_seed(10)
    torch.set_num_threads(1)
    bars = Bars(900_000)
    network = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 1))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3)
    loss = torch.zeros(())
    for _ in range(350):
        window, following = bars.batch(128)
        loss = (network(window)[:, 0] - following).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{loss.item():.3f}")


if __name__ == "__main__":
    main()
