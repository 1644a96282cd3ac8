"""Unseen: a trainer pickles network and optimizer, synced to the disk, every few steps."""

from __future__ import annotations

import os
import pickle
import tempfile
from pathlib import Path

import torch
from torch import nn


class Trainer:
    """Trains, and keeps what it has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.network = nn.Sequential(nn.Linear(64, 1800), nn.ReLU(), nn.Linear(1800, 1800),
                                     nn.ReLU(), nn.Linear(1800, 1))  # fmt: skip
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=1e-4, momentum=0.9)

    def keep(self, step: int) -> None:
        state = {"step": step, "network": self.network.state_dict()}
        with (self.folder / f"step-{step % 2}.pickle").open("wb") as file:
            pickle.dump(state, file)
            file.flush()
            os.fsync(file.fileno())

    def run(self, steps: int) -> float:
        loss = torch.zeros(())
        for step in range(steps):
            window = torch.randn(16, 64)
            loss = (self.network(window)[:, 0] - window.mean(dim=1)).square().mean()
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step % 3 == 0:
                self.keep(step)
        return loss.item()


if __name__ == "__main__":
    torch.manual_seed(6)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        print(f"{Trainer(Path(place)).run(150):.3f}")
