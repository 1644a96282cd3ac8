"""Unseen: the whole of training stands inside `with torch.autograd.detect_anomaly():`."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Decay(nn.Module):
    """A learned exponential average, written out in time."""

    def __init__(self) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.zeros(16))
        self.scale = nn.Parameter(torch.ones(16))

    def forward(self, window: Tensor) -> Tensor:
        keep, state = torch.sigmoid(self.rate), torch.zeros(window.shape[0], 16)
        for at in range(window.shape[1]):
            state = keep * state + (1.0 - keep) * window[:, at]
        return (state * self.scale).sum(dim=1)


def fit(steps: int) -> float:
    model = Decay()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    loss = torch.zeros(())
    with torch.autograd.detect_anomaly(check_nan=True):
        for _ in range(steps):
            window = torch.randn(32, 40, 16)
            loss = (model(window) - window[:, -1].sum(dim=1)).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


if __name__ == "__main__":
    torch.manual_seed(5)
    torch.set_num_threads(1)
    print(f"{fit(180):.4f}")
