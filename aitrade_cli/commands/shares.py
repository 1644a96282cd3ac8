"""Shares as people type them."""

from __future__ import annotations

from aitrade_cli.errors import Usage


class BadShare(Usage):
    """A share that is no number between 0 and 1, or 0% and 100%."""

    default_hint = "write `1%` or `0.01`"


def share(text: str, flag: str) -> float:
    """``1%`` and ``0.01`` both give 0.01.

    Raises:
        BadShare: ``text`` is not a number in [0, 1] or [0%, 100%].
    """
    word = text.strip()
    try:
        value = float(word.removesuffix("%")) / (100.0 if word.endswith("%") else 1.0)
    except ValueError:
        raise BadShare(f"`{flag}` is `{text}`, not a share") from None
    if not 0.0 <= value <= 1.0:
        raise BadShare(f"`{flag}` is `{text}`, outside 0% to 100%")
    return value
