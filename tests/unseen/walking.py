"""Unseen: an order book of lists is walked level by level for every incoming order."""

from __future__ import annotations

import random


class Book:
    """Asks of one instrument."""

    def __init__(self, levels: int) -> None:
        self.prices = [100.0 + 0.01 * level for level in range(levels)]
        self.sizes = [5.0 + level % 7 for level in range(levels)]

    def cost(self, wanted: float) -> float:
        """What buying so much would cost."""
        left, paid, level = wanted, 0.0, 0
        while left > 0.0 and level < len(self.prices):
            taken = min(left, self.sizes[level])
            paid += taken * self.prices[level] * 1.00002
            left -= taken
            level += 1
        return paid


def main() -> None:
    random.seed(11)
    book = Book(4_000)
    total = 0.0
    for _ in range(4_500):
        total += book.cost(random.uniform(100.0, 25_000.0))
    print(f"{total:.1f}")


if __name__ == "__main__":
    main()
