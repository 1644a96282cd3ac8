"""Unseen: stops are walked bar by bar with `float(tensor[i])`."""

from __future__ import annotations

import torch
from torch import Tensor


class Trailing:
    """A trailing stop over one path of prices."""

    def __init__(self, share: float) -> None:
        self.share = share

    def walk(self, prices: Tensor, volumes: Tensor) -> tuple[float, int]:
        """Where the stop is hit last, and how many bars were held."""
        top, held, at = 0.0, 0, 0
        while at < len(prices):
            price = float(prices[at])
            weight = int(volumes[at])
            top = max(top * (0.999 if weight > 50 else 1.0), price)
            held += price > top * (1.0 - self.share)
            at += 1
        return top, held


def main() -> None:
    torch.manual_seed(2)
    prices = 100.0 + torch.randn(20_000).cumsum(0) * 0.05
    volumes = torch.randint(1, 100, (20_000,))
    found = [Trailing(0.001 * number).walk(prices, volumes) for number in range(1, 41)]
    print(f"{max(found)[1]} bars held")


if __name__ == "__main__":
    main()
