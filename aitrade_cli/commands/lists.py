"""Lists as people type them: `1,256`, or the option twice."""

from __future__ import annotations

from collections.abc import Sequence

from aitrade_cli.errors import Usage


class BadList(Usage):
    """A list of counts holds something that is no whole number from 1 on."""

    default_hint = "write `1,256`"


def words(given: Sequence[str] | None) -> list[str]:
    """``["a,b", "c"]`` gives a, b and c; empty pieces are dropped."""
    pieces = (piece.strip() for text in given or () for piece in text.split(","))
    return [piece for piece in pieces if piece]


def counts(given: str, flag: str) -> list[int]:
    """``1,256`` gives 1 and 256.

    Raises:
        BadList: a piece is no whole number, or below 1, or there is none.
    """
    pieces = words([given])
    if not pieces or not all(piece.isascii() and piece.isdigit() for piece in pieces):
        raise BadList(f"`{flag}` is `{given}`, not a list of whole numbers")
    found = [int(piece) for piece in pieces]
    if min(found) < 1:
        raise BadList(f"`{flag}` is `{given}`, which holds a number below 1")
    return found
