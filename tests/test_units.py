"""Quantities as people read them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli import units

FORMS = [
    units.count_text, units.bytes_text, units.share_text, units.ratio_text,
    units.number_text, units.change_text, units.microseconds_text, units.seconds_text,
]  # fmt: skip
SCALE = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "µs": 1.0, "ms": 1e3, "s": 1e6}


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_what_is_absent_is_a_dash(form: Callable[[None], str]) -> None:
    assert form(None) == "—"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (units.count_text(3211779), "3,211,779"),
        (units.bytes_text(0), "0 B"),
        (units.bytes_text(999.4), "999 B"),
        (units.bytes_text(999.6), "1 kB"),
        (units.bytes_text(999_950), "1 MB"),
        (units.bytes_text(12847116), "12.8 MB"),
        (units.bytes_text(2.3e12), "2,300 GB"),
        (units.bytes_text(-1500), "-1.5 kB"),
        (units.share_text(0.0034), "0.3 %"),
        (units.share_text(0.0034, 2), "0.34 %"),
        (units.ratio_text(3.667), "3.67x"),
        (units.number_text(-0.0), "0.000"),
        (units.change_text(0.012), "+0.012"),
        (units.change_text(-0.0001), "+0.000"),
        (units.microseconds_text(0.5), "0.5 µs"),
        (units.microseconds_text(99.96), "100 µs"),
        (units.microseconds_text(948.2), "948 µs"),
        (units.microseconds_text(12_340), "12.3 ms"),
        (units.microseconds_text(999_600), "1 s"),
        (units.seconds_text(12.34), "12.3 s"),
        (units.seconds_text(12_345), "12,345 s"),
    ],
)
def test_known_quantities(text: str, value: str) -> None:
    assert text == value


def size_of(text: str) -> float:
    """Read a quantity back, as a person would."""
    number, unit = text.split(" ")
    return float(number.replace(",", "")) * SCALE[unit]


@given(st.floats(1.0, 1e13))
def test_bytes_keep_their_size(value: float) -> None:
    assert size_of(units.bytes_text(value)) == pytest.approx(value, rel=0.006, abs=0.501)


@given(st.floats(1.0, 1e10))
def test_microseconds_keep_their_size(value: float) -> None:
    assert size_of(units.microseconds_text(value)) == pytest.approx(value, rel=0.006, abs=0.0501)


@given(st.floats(1e-3, 1e13))
def test_nobody_reads_an_exponent(value: float) -> None:
    forms = (units.bytes_text, units.microseconds_text, units.seconds_text)
    assert not [form(value) for form in forms if re.search(r"\de[+-]\d", form(value))]


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_zero_has_no_minus(value: float, digits: int) -> None:
    for text in (units.number_text(value, digits), units.share_text(value, digits)):
        assert not re.fullmatch(r"-0(\.0+)?( %)?", text)
