"""A record is one line, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.system.logging.records import Record, json_line, text_line

words = st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=5,
)


@given(event=words, fields=st.dictionaries(words, values, max_size=4))
def test_a_json_line_is_one_line_of_strict_json(event: str, fields: dict[str, Any]) -> None:
    line = json_line(Record(1, "info", "x", event, fields))
    assert line.isascii()
    assert line.count("\n") == 1
    said = json.loads(line, parse_constant=pytest.fail)
    assert said["event"] == event
    assert len(said) == 5 + len(fields)


@given(event=words, fields=st.dictionaries(words, values, max_size=4))
def test_a_text_line_is_one_line_that_no_terminal_obeys(event: str, fields: dict[str, Any]) -> None:
    line = text_line(Record(1, "info", "x", event, fields))
    assert line.index("\n") == len(line) - 1
    assert "\x1b" not in line


def test_a_hostile_event_is_spelt_out() -> None:
    assert "\\x1b[2J" in text_line(Record(0, "info", "x", "\x1b[2J", {}))


def test_time_is_utc_with_microseconds() -> None:
    line = json_line(Record(1_706_702_400_123_456_789, "info", "x", "e", {}))
    assert json.loads(line)["time"] == "2024-01-31T12:00:00.123456Z"
