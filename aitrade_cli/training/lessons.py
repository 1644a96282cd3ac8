"""Windows and what a teacher answers to them, asked once and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float32, Int64
from torch import nn

from aitrade_cli.errors import BadInput
from aitrade_cli.training.labels import UNKNOWN
from aitrade_cli.training.loop import Examples, logits_of
from aitrade_cli.training.material import Material

MIXED: Final = 1.0  # windows made of two for each real one: worth about a point of agreement
ASKED_AT_ONCE: Final = 256
LATEST_SHARE: Final = 0.12  # of the windows, to stop by, where only training logits are given

Ask = Callable[[np.ndarray], np.ndarray]  # windows [n, time, feature] -> logits [n, klass]


@dataclass(frozen=True, slots=True)
class Mixtures:
    """Windows that are a weighted mean of two real ones. Made when they are needed.

    Real windows are few and neighbours are near copies, but a teacher answers anything: asked
    between them, it tells more of where it decides otherwise.

    Attributes:
        first: row of the one; ``second``: row of the other.
        share: of the first, 0..1.

    Source:
        Zhang et al. 2018, mixup, with the teacher's answer for the label, as Beyer et al. 2022
        have it. https://arxiv.org/abs/1710.09412, https://arxiv.org/abs/2106.05237
    """

    first: Int64[np.ndarray, " n"]
    second: Int64[np.ndarray, " n"]
    share: Float32[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.share)

    def of(
        self, windows: Float32[np.ndarray, "real time feature"], rows: Int64[np.ndarray, " m"]
    ) -> Float32[np.ndarray, "m time feature"]:
        share = self.share[rows][:, None, None]
        return share * windows[self.first[rows]] + (1 - share) * windows[self.second[rows]]


NO_MIXTURES: Final = Mixtures(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))


@dataclass(frozen=True, slots=True)
class Lessons:
    """Training rows are the real windows first, then the mixtures.

    Attributes:
        training: real windows, in time order.
        training_logits: the teacher's, of real windows and then of mixtures.
        validation: later windows, none of them mixed.
        validation_logits: the teacher's.
        mixtures: of training windows.
        kept: which of all these rows are trained on; None for all.
    """

    training: Examples
    training_logits: Float32[np.ndarray, "n klass"]
    validation: Examples
    validation_logits: Float32[np.ndarray, "m klass"]
    mixtures: Mixtures = NO_MIXTURES
    kept: Int64[np.ndarray, " k"] | None = None

    def __len__(self) -> int:
        return len(self.training) + len(self.mixtures) if self.kept is None else len(self.kept)

    def windows_at(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n time feature"]:
        """Copies of these training rows."""
        rows = self._among_all(rows)
        real = rows < len(self.training)
        if real.all():
            return self.training.windows[rows]
        found = np.empty((len(rows), *self.training.windows.shape[1:]), np.float32)
        found[real] = self.training.windows[rows[real]]
        made = rows[~real] - len(self.training)
        found[~real] = self.mixtures.of(self.training.windows, made)
        return found

    def logits_at(self, rows: Int64[np.ndarray, " n"]) -> Float32[np.ndarray, "n klass"]:
        """The teacher's logits of these training rows."""
        return self.training_logits[self._among_all(rows)]

    def classes_at(self, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        """Labels of these training rows; a mixture has none and gets ``UNKNOWN``."""
        rows = self._among_all(rows)
        real = rows < len(self.training)
        return np.where(real, self.training.classes[np.where(real, rows, 0)], UNKNOWN)

    def thinned(self, most: int | None) -> Lessons:
        """At most ``most`` training rows, evenly spread over real windows and mixtures."""
        if most is None or len(self) <= most:
            return self
        every = self._among_all(np.arange(0, len(self), -(-len(self) // max(1, most))))
        return replace(self, kept=every)

    def _among_all(self, rows: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " n"]:
        return rows if self.kept is None else self.kept[rows]


def lessons_of(
    teacher: nn.Module | Ask, material: Material, *, mixed: float = MIXED, seed: int = 0
) -> Lessons:
    """Ask the teacher about all training and validation windows, and about mixtures.

    Args:
        teacher: a network, or a function from windows to logits.
        material: the windows.
        mixed: mixtures for each training window, >= 0.
        seed: of the mixtures.
    """
    windows = material.training.windows
    mixtures = draw_mixtures(len(windows), round(mixed * len(windows)), seed)
    made = [
        answers(teacher, mixtures.of(windows, np.arange(start, min(start + 1024, len(mixtures)))))
        for start in range(0, len(mixtures), 1024)
    ]
    return Lessons(
        material.training,
        np.concatenate([answers(teacher, windows), *made]),
        material.validation,
        answers(teacher, material.validation.windows),
        mixtures,
    )


def lessons_from(logits: Float32[np.ndarray, "n klass"], material: Material) -> Lessons:
    """Lessons where only the answers to the training windows are known.

    The latest of those decide when to stop, a window apart from those learned from.

    Raises:
        BadInput: there is not one answer for each training window.
    """
    if len(logits) != len(material.training):
        raise BadInput(
            f"`{len(logits):,}` answers of the teacher for {len(material.training):,} windows"
        )
    start = round(len(logits) * (1.0 - LATEST_SHARE))
    stop = max(1, start - material.preprocessing.window + 1)
    windows, classes = material.training.windows, material.training.classes
    return Lessons(
        Examples(windows[:stop], classes[:stop]),
        logits[:stop],
        Examples(windows[start:], classes[start:]),
        logits[start:],
    )


def draw_mixtures(windows: int, count: int, seed: int) -> Mixtures:
    """Pairs and shares, all drawn evenly."""
    random = np.random.default_rng(seed)
    return Mixtures(
        random.integers(0, windows, count),
        random.integers(0, windows, count),
        random.random(count, dtype=np.float32),
    )


def answers(
    teacher: nn.Module | Ask, windows: Float32[np.ndarray, "n time feature"]
) -> Float32[np.ndarray, "n klass"]:
    """Logits of every window, some at a time."""
    if isinstance(teacher, nn.Module):
        return logits_over(teacher, windows)
    parts = [
        teacher(np.ascontiguousarray(windows[start : start + ASKED_AT_ONCE]))
        for start in range(0, len(windows), ASKED_AT_ONCE)
    ]
    return np.concatenate(parts).astype(np.float32)


def logits_over(
    network: nn.Module, windows: Float32[np.ndarray, "n time feature"], *, batch: int = 256
) -> Float32[np.ndarray, "n klass"]:
    """What a network answers to every window, as float32."""
    return np.asarray(logits_of(network, windows, batch=batch), dtype=np.float32)
