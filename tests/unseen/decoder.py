"""Unseen: a data set whose method decodes packed ticks whenever the network asks for an item."""

from __future__ import annotations

import struct
import zlib

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

TICKS = 160


class Archive(Dataset[tuple[Tensor, Tensor]]):
    """Blocks of ticks as an exchange sends them."""

    def __init__(self, blocks: int) -> None:
        self.blocks = [self.packed(number) for number in range(blocks)]

    @staticmethod
    def packed(number: int) -> bytes:
        rows = [(100.0 + (number * 7 + at) % 13 * 0.01, (at * 31) % 17) for at in range(TICKS)]
        return zlib.compress(b"".join(struct.pack("<di", *row) for row in rows))

    def __len__(self) -> int:
        return len(self.blocks)

    def decode(self, data: bytes) -> list[float]:
        found = []
        for price, size in struct.iter_unpack("<di", zlib.decompress(data)):
            found.append((price - 100.0) * 10.0)
            found.append(size / 17.0)
        return found

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        numbers = self.decode(self.blocks[index])
        return torch.tensor(numbers), torch.tensor([numbers[-2]])


def fit(data: Archive, epochs: int) -> float:
    network = nn.Sequential(nn.Linear(2 * TICKS, 32), nn.ReLU(), nn.Linear(32, 1))
    optimizer = torch.optim.AdamW(network.parameters())
    last = torch.zeros(())
    for _ in range(epochs):
        for window, price in DataLoader(data, shuffle=True, batch_size=128):
            last = (network(window) - price).square().mean()
            optimizer.zero_grad(set_to_none=True)
            last.backward()
            optimizer.step()
    return float(last)


if __name__ == "__main__":
    torch.manual_seed(1)
    torch.set_num_threads(1)
    print(f"{fit(Archive(6_000), 7):.4f}")
