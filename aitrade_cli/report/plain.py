"""Words that came from files and command lines, made safe to show on a terminal."""

from __future__ import annotations

from typing import Final

BLANKS: Final = "\n\t\u00a0\u202f"  # not printable in Python's sense, and harmless


def plain(text: str) -> str:
    r"""Spell out what a terminal would obey: a layer named ``\x1b[2J`` clears no screen.

    Control characters, writing-direction marks and bytes of a file name that are no
    text become escapes; all else stays.
    """
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in BLANKS else spelt(mark) for mark in text)


def one_line(text: str) -> str:
    """The same, with line breaks and tabs spelt out too."""
    return "".join(spelt(mark) if mark in "\n\t" else mark for mark in plain(text))


def spelt(mark: str) -> str:
    return mark.encode("unicode_escape").decode("ascii")
