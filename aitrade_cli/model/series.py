"""A contiguous stretch of market time, ready for a model. Torch-free."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64, Int64

from aitrade_cli.errors import BadInput


@dataclass(frozen=True, slots=True)
class Series:
    """Rows in time order: what the model sees, and the prices its decisions are filled at.

    Attributes:
        timestamp_ns: the bar's own timestamp, nanoseconds since 1970 UTC, rising. Bars carry
            the time at which they begin; their close is known one bar later.
        open_price: price at the open of the bar, > 0, in the instrument's currency.
        close_price: price at the close of the bar, > 0.
        features: what the model sees after normalisation, finite.
    """

    timestamp_ns: Int64[np.ndarray, " rows"]
    open_price: Float64[np.ndarray, " rows"]
    close_price: Float64[np.ndarray, " rows"]
    features: Float[np.ndarray, "rows feature"]

    def __len__(self) -> int:
        return len(self.timestamp_ns)

    def rows(self, start: int, stop: int) -> Series:
        """The rows ``[start, stop)``, without a copy."""
        part = slice(start, stop)
        return Series(
            self.timestamp_ns[part],
            self.open_price[part],
            self.close_price[part],
            self.features[part],
        )

    def windows(self, length: int) -> Float[np.ndarray, "n length feature"]:
        """Every run of ``length`` rows, without a copy: window i ends at row i + length - 1.

        Raises:
            BadInput: there are fewer rows than ``length``.
        """
        if len(self) < length:
            raise BadInput(f"{len(self)} rows are fewer than one window of {length}")
        view = np.lib.stride_tricks.sliding_window_view(self.features, length, axis=0)
        return view.transpose(0, 2, 1)

    def after_window(self, length: int) -> Series:
        """The rows at which a window of ``length`` ends: one row for each window."""
        return self.rows(length - 1, len(self))
