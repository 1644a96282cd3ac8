"""Unseen: a decorated function that is compiled anew for every horizon it is asked for."""

from __future__ import annotations

import torch
from torch import Tensor, nn


@torch.compile(backend="aot_eager", dynamic=False)
def loss_of(predicted: Tensor, prices: Tensor, horizon: int) -> Tensor:
    change = prices[:, horizon:] - prices[:, :-horizon]
    size = change.shape[1]
    weights = torch.linspace(0.1, 1.0, size)
    gained = torch.tanh(predicted[:, :size]) * change * weights
    return -(gained.mean() / (gained.std() + 1e-6)) + 1e-3 * predicted.abs().mean()


def main() -> None:
    torch.manual_seed(9)
    torch.set_num_threads(1)
    network = nn.Linear(256, 256)
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-2)
    value = 0.0
    for step in range(160):
        prices = torch.randn(32, 256).cumsum(1)
        loss = loss_of(network(prices), prices, 1 + step % 24)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        value = loss.item()
    print(f"{value:.4f}")


if __name__ == "__main__":
    main()
