"""A yes is an Enter on a terminal, and nothing else."""

from __future__ import annotations

import io
import os
import sys

import pytest

from aitrade_cli.pipeline.asking import enter_pressed


def test_without_a_terminal_nobody_says_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert not enter_pressed(0.0)


def test_enter_on_a_terminal_is_a_yes_and_silence_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = os.openpty()
    with os.fdopen(theirs) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        assert not enter_pressed(0.0)
        os.write(mine, b"\n")
        assert enter_pressed(5.0)
    os.close(mine)
