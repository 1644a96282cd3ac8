"""What `optimize` can be asked for."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.passes.optimize.settings import (
    BadDuration,
    BadObjective,
    Settings,
    minimize_of,
    seconds_of,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90.0), ("10m", 600.0), ("2h", 7200.0), ("45", 45.0), ("1.5 m", 90.0), (" 3s ", 3.0)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "m", "-5m", "10 days", "nan", "inf", "0s", "1e9h", "٣m", "9" * 50]
)
def test_anything_else_is_one_line(text: str) -> None:
    with pytest.raises(BadDuration) as raised:
        seconds_of(text)
    assert "10m" in raised.value.hint


@given(st.text(max_size=12))
def test_no_text_breaks_it(text: str) -> None:
    with suppress(BadDuration):
        assert seconds_of(text) > 0


def test_an_unknown_objective_names_the_known_ones() -> None:
    with pytest.raises(BadObjective) as raised:
        minimize_of("profit")
    assert "latency" in raised.value.hint
    assert minimize_of("size") == "size"


def test_the_history_is_plain_data() -> None:
    for value in Settings().as_history().values():
        assert value is None or isinstance(value, str | int | float | list)
