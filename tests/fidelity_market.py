"""A small market and small models for the tests of `aitrade_cli.fidelity`. No fixtures needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aitrade_cli.model.card import Card, Decision, Preprocessing, Sample, TensorSpec
from aitrade_cli.model.series import Series

WINDOW = 6
FEATURES = 3
DAY_NS = 24 * 3_600 * 10**9
START_NS = 1_420_070_400 * 10**9  # 2015-01-01T00:00:00Z


@dataclass(frozen=True)
class Model:
    """Anything that maps windows to outputs, with the shape of a runtime."""

    answer: Callable[[np.ndarray], np.ndarray]
    name: str = "numpy"

    def run(self, window: np.ndarray) -> np.ndarray:
        return self.answer(window)


def momentum(
    *, gain: float = 1.0, noise: float = 0.0, threshold: float = 0.3
) -> Callable[[np.ndarray], np.ndarray]:
    """Short, flat, long by the mean of the last three rows of feature 0."""

    def answer(window: np.ndarray) -> np.ndarray:
        drift = gain * window[:, -3:, 0].mean(axis=1)
        drift = drift + noise * np.sin(1e3 * window[:, -1, 1])
        flat = np.full_like(drift, threshold)
        return np.stack([-drift, flat, drift], axis=1).astype(np.float32)

    return answer


def series(rows: int, *, seed: int = 0, edge: float = 0.5) -> Series:
    """Daily bars whose opens follow the mean of the last three rows of feature 0 a little."""
    generator = np.random.default_rng(seed)
    features = generator.standard_normal((rows, FEATURES)).clip(-5, 5).astype(np.float32)
    signal = np.convolve(features[:, 0], np.ones(3) / 3)[:rows]
    steps = 0.01 * generator.standard_normal(rows)
    steps[2:] += 0.01 * edge * signal[:-2]
    prices = 100.0 * np.exp(np.cumsum(steps))
    stamps = START_NS + DAY_NS * np.arange(rows, dtype=np.int64)
    return Series(stamps, prices, prices * 1.001, features)


def card(*, batch: int | str = "batch", time: int | str = "time") -> Card:
    """A card of three-class models on windows of six rows."""
    return Card(
        inputs=(TensorSpec("window", (batch, time, FEATURES)),),
        outputs=(TensorSpec("logits", (batch, 3)),),
        preprocessing=Preprocessing(
            features=("return", "range", "volume"),
            window=WINDOW,
            mean=(0.0, 0.5, 1.0),
            std=(1.0, 1.0, 2.0),
        ),
        decision=Decision(),
    )


def sample(rows: int = 700, *, calibration: int = 150, gap: int = 10, seed: int = 0) -> Sample:
    """``rows`` daily bars, of which the first ``calibration`` are for learning."""
    return Sample(
        series=series(rows, seed=seed),
        calibration_rows=calibration,
        evaluation_row=calibration + gap,
        symbol="TEST",
        source_sha256="0" * 64,
    )


def nan_now_and_then(window: np.ndarray) -> np.ndarray:
    outputs = momentum()(window)
    outputs[window[:, -1, 1] > 2.0] = np.nan
    return outputs


def refuse() -> np.ndarray:
    raise RuntimeError("poison")
