"""Blocks on screen: 80 columns, no colour, nothing that a terminal would obey."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict, view
from aitrade_cli.report.draw import draw

WORDS = st.text(st.characters(exclude_categories=()), max_size=60)


class Own:
    """A report of these tests."""


@view.register
def _(report: Own) -> Sequence[Block]:  # noqa: ARG001 -- it is called with one
    return (Verdict("mine"),)


def drawn(*blocks: Block) -> str:
    stream = io.StringIO()
    draw(blocks, stream)
    return stream.getvalue()


def test_the_verdict_comes_first_and_blocks_stand_apart() -> None:
    text = drawn(
        Verdict("Trades the same", True),
        Facts("Model", [("Size", "12.8 MB"), ("Parameters", "3,211,779")]),
        Table("Change", ("", "before", "after"), [("Sharpe", "0.512", "0.509")]),
        Notes("Not run", ["drift: the artefact has no sample"]),
    )
    assert text.splitlines() == [
        "Trades the same",
        "",
        "Model",
        "Size        12.8 MB",
        "Parameters  3,211,779",
        "",
        "Change",
        "        before  after",
        "Sharpe   0.512  0.509",
        "",
        "Not run",
        "- drift: the artefact has no sample",
    ]


def test_numbers_are_aligned_on_the_right_and_words_on_the_left() -> None:
    rows = [("a", "x", "1"), ("bb", "yy", "22")]
    lines = drawn(Table("", ("k", "why", "n"), rows, left=2)).splitlines()
    assert lines == ["k   why   n", "a   x     1", "bb  yy   22"]


@given(st.lists(st.tuples(WORDS, WORDS), max_size=4), WORDS, st.lists(WORDS, max_size=3))
def test_no_words_draw_wider_than_the_screen_or_reach_the_terminal_raw(
    rows: list[tuple[str, str]], title: str, lines: list[str]
) -> None:
    text = drawn(Facts(title, rows), Notes(title, lines), Verdict(title))
    assert not [mark for mark in text if ord(mark) < 32 and mark != "\n"]
    text.encode("utf-8")


def test_a_table_as_wide_as_ours_get_fits_80_columns() -> None:
    columns = ("Row", "Status", "Speed claimed", "here", "Memory claimed", "here", "Wall")
    row = ("M13", "below claim", "3.10x", "14.02x", "75 %", "100.0 %", "900 s")
    assert max(map(len, drawn(Table("", columns, [row], left=2)).splitlines())) <= 80


def test_brackets_are_words_and_no_markup() -> None:
    text = drawn(
        Verdict("[bold]a[/bold]"),
        Facts("[red]t", [("[x]", "[/y]")]),
        Table("[t]", ("[c]",), [("[r]",)]),
        Notes("[n]", ["[l]"]),
    )
    for words in ("[bold]a[/bold]", "[red]t", "[x]", "[/y]", "[t]", "[c]", "[r]", "[n]", "[l]"):
        assert words in text


def test_emoji_codes_stay_as_typed() -> None:
    assert drawn(Verdict("arch fixtures.nets:build:smile:")) == "arch fixtures.nets:build:smile:\n"


def test_no_line_ends_in_blanks() -> None:
    text = drawn(Table("A title", ("a", "b"), [("x", "1"), ("a longer word", "2")]))
    assert [line for line in text.splitlines() if line != line.rstrip()] == []


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False)])
def test_colour_is_for_terminals_and_follows_no_color(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, *, coloured: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = Terminal()
    draw([Verdict("Held", True)], stream)
    assert ("\x1b[1;32m" in stream.getvalue()) == coloured
    assert "Held" in stream.getvalue()


def test_a_report_without_a_view_is_a_mistake_of_ours() -> None:
    with pytest.raises(NotImplementedError, match="str has no view"):
        view("words")


def test_a_registered_view_is_found() -> None:
    assert drawn(*view(Own())) == "mine\n"
