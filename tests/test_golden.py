"""The golden comparison itself can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.golden import assert_golden


def test_what_was_written_is_what_is_compared(tmp_path: Path) -> None:
    assert_golden("screen.txt", "a  \nb", regen=True, folder=tmp_path)
    assert_golden("screen.txt", "a\nb   \n", regen=False, folder=tmp_path)


def test_a_changed_letter_is_noticed(tmp_path: Path) -> None:
    assert_golden("screen.txt", "a\nb", regen=True, folder=tmp_path)
    with pytest.raises(AssertionError, match="differs"):
        assert_golden("screen.txt", "a\nc", regen=False, folder=tmp_path)


def test_a_missing_file_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="--regen"):
        assert_golden("nothing.txt", "a", regen=False, folder=tmp_path)
