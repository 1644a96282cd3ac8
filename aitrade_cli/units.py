"""Quantities as people read them. `None` is shown as a dash, never as 0."""

from __future__ import annotations

from typing import Final, TypeAlias

DASH: Final = "—"
Number: TypeAlias = float | int  # a checker that runs tells the two apart


def count_text(value: int | None) -> str:
    """``3211779`` -> ``3,211,779``."""
    return DASH if value is None else f"{value:,}"


def bytes_text(value: Number | None) -> str:
    """Powers of 1,000, three digits: ``12847116`` -> ``12.8 MB``."""
    if value is None:
        return DASH
    if round(abs(value)) < 1000:
        return f"{round(value)} B"
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if unit == "GB" or round(abs(value)) < 1000:
            return f"{three_digits(value)} {unit}"
    raise AssertionError("unreachable: GB always returns")


def three_digits(value: Number) -> str:
    """``12.847`` -> ``12.8``, ``9.996`` -> ``10``, ``1234.5`` -> ``1,234``; no exponent above 1."""
    text = f"{value:.3g}"
    return f"{value:,.0f}" if "e+" in text else text


def share_text(value: Number | None, digits: int = 1) -> str:
    """A share in 0..1 as per cent: ``0.0034`` -> ``0.3 %``."""
    return DASH if value is None else f"{rounded(value * 100, digits):.{digits}f} %"


def ratio_text(value: Number | None) -> str:
    """How many times: ``3.667`` -> ``3.67x``."""
    return DASH if value is None else f"{value:.2f}x"


def number_text(value: Number | None, digits: int = 3) -> str:
    """A plain number with its sign only where negative."""
    return DASH if value is None else f"{rounded(value, digits):.{digits}f}"


def change_text(value: Number | None, digits: int = 3) -> str:
    """A difference, always signed: ``+0.012``."""
    return DASH if value is None else f"{rounded(value, digits):+.{digits}f}"


def rounded(value: Number, digits: int) -> float:
    return round(value, digits) + 0.0  # -0.0 would print as `-0.000`


def microseconds_text(value: Number | None) -> str:
    """``948.2`` -> ``948 µs``; from ten milliseconds on in ms, from one second on in s."""
    if value is None:
        return DASH
    if value < 99.95:
        return f"{value:.1f} µs"
    if value < 10_000:
        return f"{value:.0f} µs"
    if value < 999_500:
        return f"{three_digits(value / 1e3)} ms"
    return f"{three_digits(value / 1e6)} s"


def seconds_text(value: Number | None) -> str:
    """``12.34`` -> ``12.3 s``."""
    return DASH if value is None else f"{three_digits(value)} s"
