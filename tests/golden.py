"""Whole screens, kept as files under ``tests/golden/`` and compared to the letter."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str, *, regen: bool, folder: Path = FOLDER) -> None:
    """Compare ``text`` with the golden file ``name``, or write it where ``regen``.

    Blanks at the ends of lines do not count: no reader sees them.

    Args:
        name: file name below the folder, e.g. ``equivalence_held.txt``.
        text: what is on the screen now.
        regen: the fixture of that name, set by `pytest --regen`.
        folder: where the golden files lie.

    Raises:
        AssertionError: the texts differ, or there is no such file yet.
    """
    path = folder / name
    now = "".join(f"{line.rstrip()}\n" for line in text.splitlines())
    if regen:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(now, encoding="utf-8")
        return
    assert path.exists(), f"no golden file `{name}`; write it with `pytest --regen`"
    kept = path.read_text(encoding="utf-8")
    assert now == kept, f"`{name}` differs; look at it, then `pytest --regen` if it is meant"
