"""Hostile words reach the terminal spelt out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.report.plain import one_line, plain

ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_nothing_is_left_that_a_terminal_obeys(text: str) -> None:
    assert not [mark for mark in plain(text) if ord(mark) < 32 and mark not in "\n\t"]
    assert "\x7f" not in plain(text)
    assert "\x9b" not in plain(text)


@given(ANY_TEXT)
def test_what_is_left_can_be_encoded(text: str) -> None:
    plain(text).encode("utf-8")


@given(ANY_TEXT)
def test_one_line_is_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


@given(st.text(st.characters(categories=("L", "N", "P", "S"))))
def test_letters_stay_as_they_are(text: str) -> None:
    assert plain(text) == text
    assert one_line(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2Jlayer", "\\x1b[2Jlayer"),
        ("name\u202egnp.exe", "name\\u202egnp.exe"),
        ("caf\udce9.pt", "caf\\udce9.pt"),
        ("two\nlines\tand µs — 3\u00a0%", "two\nlines\tand µs — 3\u00a0%"),
    ],
)
def test_known_words(text: str, shown: str) -> None:
    assert plain(text) == shown


def test_a_spelt_out_word_survives_json() -> None:
    assert json.loads(json.dumps(plain("\x1b\udcff"))) == "\\x1b\\udcff"
