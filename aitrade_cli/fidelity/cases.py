"""The windows that parity is tried on: many shapes, and markets on their worst day."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.errors import BadInput
from aitrade_cli.model.card import Card

Kind: TypeAlias = Literal["real", "synthetic", "extreme"]

BATCHES: Final = (1, 2, 7, 32, 128)
EXTREMES_AT_ONCE: Final = 4  # windows in a batch of extremes
LONGER_BY: Final = 5  # rows beyond the window: a length nobody exported with
WINDOW_IF_UNKNOWN: Final = 32
CLIP_IF_UNKNOWN: Final = 5.0
TICK_SIGMA: Final = 20.0


class UnknownInput(BadInput):
    """The model's input is not one window of shape [batch, time, feature]."""

    default_hint = "wrap the module so that it takes one float32 tensor [batch, time, feature]"


@dataclass(frozen=True, slots=True)
class InputShape:
    """What the model takes. A number is a fixed axis, `None` a free one."""

    batch: int | None
    time: int | None
    features: int
    window: int  # rows of one window as it is used

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths to try beside the window: one bar, half of it, longer, twice."""
        others = (1, max(1, self.window // 2), self.window + LONGER_BY, 2 * self.window)
        return tuple(dict.fromkeys(length for length in others if length != self.window))


@dataclass(frozen=True, slots=True)
class Case:
    """One input to try, or the reason why it does not apply."""

    name: str
    kind: Kind
    batch: int
    length: int
    window: Float32[np.ndarray, "batch length feature"] | None
    not_applicable: str | None = None


def input_shape(card: Card) -> InputShape:
    """Read which axes of the model's one input are free.

    Raises:
        UnknownInput: there is not exactly one input of three axes with a known number of
            features.
    """
    shapes = [spec.shape for spec in card.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3:
        raise UnknownInput(f"the model takes `{[list(shape) for shape in shapes]}`")
    batch, time, features = shapes[0]
    if not isinstance(features, int):
        raise UnknownInput(f"the number of features is free: `{list(shapes[0])}`")
    fixed_time = time if isinstance(time, int) else None
    return InputShape(
        batch=batch if isinstance(batch, int) else None,
        time=fixed_time,
        features=features,
        window=fixed_time or card.window or WINDOW_IF_UNKNOWN,
    )


def cases(
    shape: InputShape, card: Card, rows: Float[np.ndarray, "rows feature"], kind: Kind
) -> Iterator[Case]:
    """Every case, one at a time, so that only one is in memory.

    Args:
        shape: of the model's input.
        card: its preprocessing says what zero returns and the clip look like.
        rows: normalised rows in time order.
        kind: ``real`` or ``synthetic``: what the rows are.
    """
    for batch in BATCHES if shape.batch is None else dict.fromkeys((*BATCHES, shape.batch)):
        yield _shaped(f"batch {batch}", kind, batch, shape.window, rows, shape)
    few = shape.batch or 3
    for length in shape.lengths:
        batch = 1 if length == 1 and shape.batch is None else few
        name = "one bar" if length == 1 else f"{length} bars"
        yield _shaped(name, kind, batch, length, rows, shape)
    few = shape.batch or EXTREMES_AT_ONCE
    base = real_windows(rows, few, shape.window)
    for name, window in _extremes(base, card):
        yield Case(name, "extreme", few, shape.window, window)


def noise_rows(shape: InputShape, card: Card, seed: int) -> Float32[np.ndarray, "rows feature"]:
    """Normal noise within the clip, for models that come without real bars."""
    clip = CLIP_IF_UNKNOWN if card.preprocessing is None else card.preprocessing.clip
    count = 4 * shape.window + max(BATCHES)
    noise = np.random.default_rng(seed).standard_normal((count, shape.features))
    return noise.clip(-clip, clip).astype(np.float32)


def real_windows(
    rows: Float[np.ndarray, "rows feature"], batch: int, length: int
) -> Float32[np.ndarray, "batch length feature"]:
    """``batch`` windows spread evenly over the rows; short series are walked again."""
    if len(rows) < length:
        rows = np.resize(rows, (length, rows.shape[1]))
    view = np.lib.stride_tricks.sliding_window_view(rows, length, axis=0).transpose(0, 2, 1)
    chosen = np.linspace(0, len(view) - 1, batch).round().astype(np.int64)
    return np.ascontiguousarray(view[chosen], dtype=np.float32)


def _shaped(
    name: str,
    kind: Kind,
    batch: int,
    length: int,
    rows: Float[np.ndarray, "rows feature"],
    shape: InputShape,
) -> Case:
    if shape.time is not None and length != shape.time:
        return Case(name, kind, batch, length, None, f"the time axis is fixed at {shape.time}")
    if shape.batch is not None and batch != shape.batch:
        return Case(name, kind, batch, length, None, f"the batch axis is fixed at {shape.batch}")
    return Case(name, kind, batch, length, real_windows(rows, batch, length))


def _extremes(
    base: Float32[np.ndarray, "batch length feature"], card: Card
) -> Iterator[tuple[str, Float32[np.ndarray, "batch length feature"]]]:
    clip = np.float32(CLIP_IF_UNKNOWN if card.preprocessing is None else card.preprocessing.clip)
    middle = base.shape[1] // 2
    halt = base.copy()
    # Trading stops half-way: from there on nothing moves, so raw features are zero.
    halt[:, middle:] = _at_rest(base[:, middle : middle + 1], card)
    yield "trading halt", halt
    for sign, word in ((1.0, "up"), (-1.0, "down")):
        tick = base.copy()
        tick[:, -1] = sign * TICK_SIGMA
        yield f"20-sigma tick {word}", tick
    yield "all zeros", np.zeros_like(base)
    yield "all at the clip", np.full_like(base, clip)
    yield "all at minus the clip", np.full_like(base, -clip)
    alternating = np.full_like(base, clip)
    alternating[:, ::2] = -clip
    yield "alternating clips", alternating


def _at_rest(last: Float32[np.ndarray, "batch 1 feature"], card: Card) -> Float32[np.ndarray, ...]:
    made = card.preprocessing
    if made is None or len(made.mean) != last.shape[-1]:
        return last
    mean = np.asarray(made.mean, dtype=np.float64)
    std = np.asarray(made.std, dtype=np.float64)
    return np.clip(-mean / std, -made.clip, made.clip).astype(np.float32)
