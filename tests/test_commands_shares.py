"""Shares as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.commands.shares import BadShare, share


@given(st.floats(0.0, 1.0))
def test_a_number_is_read_as_it_is(value: float) -> None:
    assert share(repr(value), "--max-flips") == value


@given(st.floats(0.0, 100.0))
def test_a_per_cent_is_a_hundredth(value: float) -> None:
    assert share(f"{value!r}%", "--max-flips") == pytest.approx(value / 100)


@pytest.mark.parametrize(
    ("text", "value"), [("1%", 0.01), (" 1 % ", 0.01), ("0.01", 0.01), ("100%", 1.0), ("0", 0.0)]
)
def test_known_shares(text: str, value: float) -> None:
    assert share(text, "--max-flips") == value


@pytest.mark.parametrize(
    "text", ["", "%", "much", "1%%", "nan", "-0.1", "101%", "1.01", "inf", "5"]
)
def test_what_is_no_share_is_named_with_its_flag(text: str) -> None:
    with pytest.raises(BadShare) as failure:
        share(text, "--max-flips")
    assert f"`--max-flips` is `{text}`" in str(failure.value)
    assert failure.value.hint


@given(st.text())
def test_no_text_gives_anything_but_a_share_or_that_failure(text: str) -> None:
    try:
        value = share(text, "--max-flips")
    except BadShare:
        return
    assert 0.0 <= value <= 1.0
