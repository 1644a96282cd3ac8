"""Quantities as people read them. `None` is shown as a dash, never as 0."""

from __future__ import annotations

from typing import Final

DASH: Final = "—"


def count_text(value: int | None) -> str:
    """``3211779`` -> ``3,211,779``."""
    return DASH if value is None else f"{value:,}"


def bytes_text(value: float | None) -> str:
    """Powers of 1,000, three digits: ``12847116`` -> ``12.8 MB``."""
    if value is None:
        return DASH
    for unit in ("B", "kB", "MB", "GB"):
        if abs(value) < 1000 or unit == "GB":
            return f"{value:.0f} B" if unit == "B" else f"{value:.3g} {unit}"
        value /= 1000
    raise AssertionError("unreachable: GB always returns")


def share_text(value: float | None, digits: int = 1) -> str:
    """A share in 0..1 as per cent: ``0.0034`` -> ``0.3 %``."""
    return DASH if value is None else f"{value * 100:.{digits}f} %"


def ratio_text(value: float | None) -> str:
    """How many times: ``3.667`` -> ``3.67x``."""
    return DASH if value is None else f"{value:.2f}x"


def number_text(value: float | None, digits: int = 3) -> str:
    """A plain number with its sign only where negative."""
    return DASH if value is None else f"{value:.{digits}f}"


def change_text(value: float | None, digits: int = 3) -> str:
    """A difference, always signed: ``+0.012``."""
    return DASH if value is None else f"{value:+.{digits}f}"


def microseconds_text(value: float | None) -> str:
    """``948.2`` -> ``948 µs``; from ten milliseconds on in ms."""
    if value is None:
        return DASH
    if value >= 10_000:
        return f"{value / 1000:.3g} ms" if value < 1_000_000 else f"{value / 1e6:.3g} s"
    return f"{value:.0f} µs" if value >= 100 else f"{value:.1f} µs"


def seconds_text(value: float | None) -> str:
    """``12.34`` -> ``12.3 s``."""
    return DASH if value is None else f"{value:.3g} s"
