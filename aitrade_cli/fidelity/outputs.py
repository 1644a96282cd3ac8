"""Ask a model for its outputs on many windows, in bounded memory."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32

from aitrade_cli.errors import BadInput


@runtime_checkable
class Runs(Protocol):
    """A model that can be asked. Every runtime of `aitrade_cli.model.runtimes` is one."""

    def run(self, window: np.ndarray) -> np.ndarray:
        """Outputs ``[batch, out]`` of float32 windows ``[batch, time, feature]``."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A model that is asked the same windows only once, however many it is compared with.

    Keeps one row of outputs a window asked, not the windows. Failures are not kept.
    """

    runtime: Runs
    answers: dict[bytes, np.ndarray] = field(default_factory=dict)

    def run(self, window: np.ndarray) -> np.ndarray:
        """The answer to this very batch, from memory where it was given before."""
        digest = hashlib.blake2b(np.ascontiguousarray(window).data, digest_size=16)
        digest.update(f"{window.shape}{window.dtype}".encode())
        key = digest.digest()
        if key not in self.answers:
            self.answers[key] = np.array(self.runtime.run(window))
        return self.answers[key].copy()


class WrongOutputs(BadInput):
    """The model's output is no row of numbers for each window."""

    default_hint = "the first output must have the shape [batch, out]"

    def __init__(self, wanted: int, shape: tuple[int, ...]) -> None:
        super().__init__(f"a batch of {wanted} gives an output of shape `{list(shape)}`")


def run_once(runtime: Runs, window: Float32[np.ndarray, "batch time feature"]) -> np.ndarray:
    """One call, its answer checked.

    Returns:
        float32 ``[batch, out]``, which may hold NaN and infinity.

    Raises:
        WrongOutputs: the answer has not one row for each window.
    """
    outputs = np.asarray(runtime.run(window))
    if outputs.ndim != 2 or len(outputs) != len(window):
        raise WrongOutputs(len(window), outputs.shape)
    return outputs.astype(np.float32, copy=False)


def outputs_of(
    runtime: Runs,
    windows: Float[np.ndarray, "n time feature"],
    batch_size: int = 1,
) -> Float32[np.ndarray, "n out"]:
    """The outputs of all windows, ``batch_size`` at a time and never more in memory.

    Every batch has exactly ``batch_size`` windows, for models that take no other; the last
    one is filled up with copies of its last window, whose outputs are dropped.

    Args:
        runtime: the model.
        windows: at least one; a zero-copy view is welcome.
        batch_size: >= 1. With dynamic INT8 the scale of activations is taken over the whole
            batch, so outputs depend on it: 1 is how a desk trades.

    Raises:
        WrongOutputs: an answer has not one row for each window.
    """
    parts = []
    for start in range(0, len(windows), batch_size):
        rows = np.arange(start, start + batch_size).clip(max=len(windows) - 1)
        batch = np.ascontiguousarray(windows[rows], dtype=np.float32)
        parts.append(run_once(runtime, batch))
    return np.concatenate(parts)[: len(windows)]
