"""Unseen: the number of threads is worked out, and comes out far above the cores."""

from __future__ import annotations

import os

import torch
from torch import nn


class Settings:
    """As a configuration file would give them."""

    threads_per_core = 12
    steps = 250


def set_up(settings: Settings) -> nn.Module:
    torch.set_num_threads(settings.threads_per_core * (os.cpu_count() or 1))
    torch.manual_seed(4)
    return nn.Sequential(nn.Linear(64, 512), nn.SiLU(), nn.Linear(512, 512), nn.SiLU(),
                         nn.Linear(512, 3))  # fmt: skip


def main() -> None:
    network = set_up(Settings())
    optimizer = torch.optim.RMSprop(network.parameters(), lr=1e-4)
    loss = torch.zeros(())
    for _ in range(Settings.steps):
        logits = network(torch.randn(512, 64))
        loss = torch.nn.functional.cross_entropy(logits, torch.randint(3, (512,)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"{loss.item():.3f}")


if __name__ == "__main__":
    main()
