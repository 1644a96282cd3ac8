"""Unseen: bars are read with Python's csv module, cell by cell, once for each of a few days."""

from __future__ import annotations

import csv
import io
import math


def written(rows: int) -> str:
    text = io.StringIO()
    text.write("time,open,high,low,close\n")
    for at in range(rows):
        price = 1.1 + 0.01 * math.sin(at / 50)
        text.write(f"{at},{price:.5f},{price + 0.001:.5f},{price - 0.001:.5f},{price:.5f}\n")
    return text.getvalue()


def bars_of(text: str) -> list[tuple[float, float, float, float]]:
    rows = csv.DictReader(io.StringIO(text))
    return [
        (float(row["open"]), float(row["high"]), float(row["low"]), float(row["close"]))
        for row in rows
    ]


def main() -> None:
    text = written(60_000)
    total = 0.0
    for _ in range(12):
        bars = bars_of(text)
        total += max(bar[1] for bar in bars) - min(bar[2] for bar in bars)
    print(f"range {total / 12:.4f}")


if __name__ == "__main__":
    main()
