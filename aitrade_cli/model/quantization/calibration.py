"""The range of every activation, measured on real windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import numpy as np
from jaxtyping import Float
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod

from aitrade_cli.errors import BadInput

Method: TypeAlias = Literal["min-max", "percentile", "entropy"]

METHODS: Final[dict[str, CalibrationMethod]] = {
    "min-max": CalibrationMethod.MinMax,
    "percentile": CalibrationMethod.Percentile,
    "entropy": CalibrationMethod.Entropy,
}
WINDOWS: Final = 256  # calibrated on; more change ranges by less than rounding does
AT_ONCE: Final = 32
LEAST: Final = 16


class TooFewWindows(BadInput):
    """Ranges from a handful of windows would clip what comes next."""

    default_hint = "give more bars with `--data BARS`, or use `--dynamic`, which needs none"

    def __init__(self, count: int) -> None:
        super().__init__(f"`{count}` windows are too few to calibrate on, wanted {LEAST}")


class Windows(CalibrationDataReader):
    """Feeds windows, spread evenly over all that are given, a few at a time."""

    def __init__(
        self, name: str, windows: Float[np.ndarray, "n time feature"], count: int = WINDOWS
    ) -> None:
        if len(windows) < LEAST:
            raise TooFewWindows(len(windows))
        chosen = np.linspace(0, len(windows) - 1, min(count, len(windows))).round().astype(int)
        self._batches = self._feed(name, np.asarray(windows[chosen], dtype=np.float32))

    @staticmethod
    def _feed(
        name: str, windows: Float[np.ndarray, "n time feature"]
    ) -> Iterator[dict[str, np.ndarray]]:
        # Histograms are joined batch by batch and want batches of one shape.
        for start in range(0, len(windows) - AT_ONCE + 1, AT_ONCE) or (0,):
            yield {name: np.ascontiguousarray(windows[start : start + AT_ONCE])}

    def get_next(self) -> dict[str, np.ndarray]:
        """The next batch; empty at the end, which is what ONNX Runtime waits for."""
        return next(self._batches, {})
