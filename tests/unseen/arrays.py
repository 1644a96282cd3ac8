"""Unseen: a scan over lookbacks in NumPy, each with a handful of arrays of 50 MB."""

from __future__ import annotations

import numpy as np


def momentum(prices: np.ndarray, lag: int) -> np.ndarray:
    change = prices[lag:] - prices[:-lag]
    size = np.abs(change) + 1e-9
    return change / size * np.sqrt(size)


def score(prices: np.ndarray, lag: int) -> float:
    signal = momentum(prices, lag)
    following = np.roll(prices, -1)[lag:] - prices[lag:]
    gained = signal * following - 1e-5 * np.abs(signal)
    return float(gained.sum())


def main() -> None:
    random = np.random.default_rng(7)
    prices = 100.0 + np.cumsum(random.standard_normal(6_000_000) * 0.01)
    scores = {lag: score(prices, lag) for lag in range(1, 17)}
    print(max(scores, key=lambda lag: scores[lag]))


if __name__ == "__main__":
    main()
