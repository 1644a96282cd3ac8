"""Gate 5: keep the change only if it is smaller or faster, beyond what noise can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias

from aitrade_cli.errors import BadInput
from aitrade_cli.fidelity.gate import Gate
from aitrade_cli.units import ratio_text, share_text

SMALLER_BY_AT_LEAST: Final = 0.01  # of the original's bytes; graph bookkeeping moves less

Size: TypeAlias = Literal["smaller", "same size", "larger", "size unknown"]
Speed: TypeAlias = Literal["faster", "same speed", "slower", "speed unknown"]


class BadMeasurement(BadInput):
    """A size or a latency is not a positive number."""


@dataclass(frozen=True, slots=True)
class Gain:
    """Size and latency of both sides, as the caller measured them.

    Attributes:
        size_bytes_before: bytes of the original's weights or file, > 0; None if unknown.
        size_bytes_after: the same of the changed model.
        latency_us_before: median microseconds for one window, > 0; None if not timed.
        latency_us_after: the same of the changed model.
        speedup_low: lower end of the 95 % interval of before / after; None if not known.
        speedup_high: its upper end.
        noise_band: how far before / after strays from 1 when the same model is timed
            against itself, e.g. 0.03; 0 where no such control was run.
        asked_by_name: the user asked for this very change (a sparsity mask, a backend), so
            no gain is told but is no failure.
        conditions: how it was timed: device, threads, batch, runs. Told as a note.
    """

    size_bytes_before: int | None = None
    size_bytes_after: int | None = None
    latency_us_before: float | None = None
    latency_us_after: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    noise_band: float = 0.0
    asked_by_name: bool = False
    conditions: str = ""

    JSON_PROPERTIES: ClassVar[tuple[str, ...]] = ("size_ratio", "speedup", "size", "speed", "text")

    def __post_init__(self) -> None:
        measured = {
            "size_bytes_before": self.size_bytes_before,
            "size_bytes_after": self.size_bytes_after,
            "latency_us_before": self.latency_us_before,
            "latency_us_after": self.latency_us_after,
        }
        for name, value in measured.items():
            if value is not None and not 0 < value < float("inf"):
                raise BadMeasurement(f"{name} must be a positive number, got `{value}`")
        if not 0 <= self.noise_band < float("inf"):
            raise BadMeasurement(f"noise_band must be at least 0, got `{self.noise_band}`")

    @property
    def size_ratio(self) -> float | None:
        """Bytes after / before; below 1 is smaller."""
        if self.size_bytes_before is None or self.size_bytes_after is None:
            return None
        return self.size_bytes_after / self.size_bytes_before

    @property
    def speedup(self) -> float | None:
        """Latency before / after; above 1 is faster."""
        if self.latency_us_before is None or self.latency_us_after is None:
            return None
        return self.latency_us_before / self.latency_us_after

    @property
    def size(self) -> Size:
        """Smaller or larger only by more than 1 % of the original."""
        ratio = self.size_ratio
        if ratio is None:
            return "size unknown"
        if ratio <= 1 - SMALLER_BY_AT_LEAST:
            return "smaller"
        return "larger" if ratio >= 1 + SMALLER_BY_AT_LEAST else "same size"

    @property
    def speed(self) -> Speed:
        """Faster or slower only where the whole interval lies outside the noise band."""
        speedup = self.speedup
        if speedup is None:
            return "speed unknown"
        low = speedup if self.speedup_low is None else self.speedup_low
        high = speedup if self.speedup_high is None else self.speedup_high
        if low > 1 + self.noise_band:
            return "faster"
        return "slower" if high < 1 / (1 + self.noise_band) else "same speed"

    @property
    def gained(self) -> bool:
        return self.size == "smaller" or self.speed == "faster"

    @property
    def text(self) -> str:
        """The verdict in words, e.g. ``smaller and faster`` or ``no gain``."""
        return WORDS.get((self.size, self.speed), "no gain")


WORDS: Final[dict[tuple[Size, Speed], str]] = {
    ("smaller", "faster"): "smaller and faster",
    ("smaller", "same speed"): "smaller, not faster",
    ("smaller", "slower"): "smaller, but slower",
    ("smaller", "speed unknown"): "smaller, speed not measured",
    ("same size", "faster"): "faster, not smaller",
    ("larger", "faster"): "faster, but larger",
    ("size unknown", "faster"): "faster, size not measured",
}


def gain_gate(gain: Gain | None) -> Gate:
    """Held where smaller or faster. Asked for by name, no gain informs; else it is missed."""
    if gain is None or (gain.size_ratio is None and gain.speedup is None):
        return Gate("gain", "not_run", "neither size nor latency was measured")
    told = f"{gain.text}: {figures(gain)}"
    if gain.gained:
        return Gate("gain", "held", told)
    return Gate("gain", "informed" if gain.asked_by_name else "missed", told)


def figures(gain: Gain) -> str:
    """E.g. ``26.9 % of the size, 4.62x as fast``."""
    parts = []
    if gain.size_ratio is not None:
        parts.append(f"{share_text(gain.size_ratio)} of the size")
    if gain.speedup is not None:
        parts.append(f"{ratio_text(gain.speedup)} as fast")
    return ", ".join(parts)
