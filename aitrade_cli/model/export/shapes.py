"""The shapes an exported graph must get right: what exporters declare is not to be believed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.model.card import Card
from aitrade_cli.model.export.report import ShapeTrial

TOLERANCE: Final = 1e-4  # of the largest |output|, at least of 1: float32 sums in another order
NOISE_ROWS: Final = 1_024
CLIP: Final = 5.0

Run = Callable[[np.ndarray], np.ndarray]


def shapes_to_try(window: int, free_time: bool) -> tuple[tuple[int, int], ...]:
    """(batch, length): one window, many, one bar, and lengths nobody exported with."""
    batches = [(1, window), (2, window), (7, window), (64, window), (256, window)]
    if not free_time:
        return tuple(batches)
    half = max(2, window // 2)
    lengths = [(1, 1), (3, 1), (1, half), (3, window + 5), (5, 2 * window)]
    return (*batches[:-1], *lengths)


def rows_of(
    card: Card, features: int
) -> tuple[Float[np.ndarray, "rows feature"], Literal["real", "noise"]]:
    """Real bars where the artefact brings some, else noise within the clip."""
    sample = card.sample
    if sample is not None and sample.series.features.shape[1] == features:
        return sample.calibration.features, "real"
    noise = np.random.default_rng(0).standard_normal((NOISE_ROWS, features))
    return noise.clip(-CLIP, CLIP).astype(np.float32), "noise"


def windows_of(
    rows: Float[np.ndarray, "rows feature"], batch: int, length: int
) -> Float32[np.ndarray, "batch length feature"]:
    """``batch`` windows spread over the rows; rows that are too few start over."""
    starts = np.linspace(0, max(0, len(rows) - length), batch).astype(np.int64)
    index = (starts[:, None] + np.arange(length)) % len(rows)
    return np.ascontiguousarray(rows[index], dtype=np.float32)


def try_shapes(
    model: Run,
    graph: Run,
    card: Card,
    shapes: tuple[tuple[int, int], ...],
    features: int,
) -> Iterator[ShapeTrial]:
    """Ask both at each shape."""
    rows, kind = rows_of(card, features)
    for batch, length in shapes:
        yield try_shape(model, graph, windows_of(rows, batch, length), kind)


def try_shape(
    model: Run,
    graph: Run,
    window: Float32[np.ndarray, "batch length feature"],
    kind: Literal["real", "noise"],
) -> ShapeTrial:
    batch, length = window.shape[:2]
    try:
        wanted = model(window)
    except Exception as error:  # a user's module may refuse a length in any way it likes
        return ShapeTrial(batch, length, kind, "model_refuses", None, said(error))
    try:
        given = graph(window)
    except Exception as error:  # a runtime may too
        return ShapeTrial(batch, length, kind, "fails", None, said(error))
    if given.shape != wanted.shape:
        reason = f"gives the shape {list(given.shape)}, torch gives {list(wanted.shape)}"
        return ShapeTrial(batch, length, kind, "fails", None, reason)
    finite = bool(np.isfinite(given).all())
    difference = float(np.abs(given - wanted).max()) if finite and wanted.size else None
    if difference is None:
        return ShapeTrial(batch, length, kind, "fails", None, "an output is not finite")
    allowed = TOLERANCE * max(1.0, float(np.abs(wanted).max()))
    return ShapeTrial(
        batch, length, kind, "same" if difference <= allowed else "differs", difference
    )


def said(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:160]
