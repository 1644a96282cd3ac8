"""Progress goes to stderr and stays out of the way."""

from __future__ import annotations

import io
import json

import pytest

from aitrade_cli.pipeline import progress

Captured = pytest.CaptureFixture[str]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal_for(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    # In the test itself: pytest puts its own streams back after the fixtures.
    made = Terminal()
    monkeypatch.setattr("sys.stderr", made)
    monkeypatch.setenv("COLUMNS", "20")
    return made


def test_in_a_log_each_line_stays(capsys: Captured) -> None:
    with progress("bench", as_json=False) as say:
        say("round 1")
        say("round 2")
    assert capsys.readouterr() == ("", "bench: round 1\nbench: round 2\n")


def test_with_json_each_is_a_line_of_kind_progress(capsys: Captured) -> None:
    with progress("bench", as_json=True) as say:
        say("round 1")
    out, err = capsys.readouterr()
    line = json.loads(err)
    assert out == ""
    assert (line["command"], line["kind"], line["data"]) == (
        "bench",
        "progress",
        {"text": "round 1"},
    )


def test_on_a_terminal_the_line_is_rewritten_cut_and_wiped(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    with progress("bench", as_json=False) as say:
        say("round 1")
        say("x" * 50)
    seen = terminal.getvalue()
    assert "\n" not in seen
    assert "x" * 19 in seen
    assert "x" * 20 not in seen
    assert seen.endswith("\r\x1b[2K")


def test_a_line_that_ends_stays_above_what_a_child_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)
    with progress("profile", as_json=False) as say:
        say("running a.py\n")
        terminal.write("printed by it\n")
    assert "running a.py\nprinted by it\n" in terminal.getvalue()


def test_a_failure_wipes_the_line_too(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = terminal_for(monkeypatch)

    def fail() -> None:
        with progress("bench", as_json=False) as say:
            say("round 1")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert terminal.getvalue().endswith("\r\x1b[2K")


def test_hostile_words_are_spelt_out(capsys: Captured) -> None:
    with progress("inspect", as_json=False) as say:
        say("layer \x1b[2J\nof two lines")
    assert capsys.readouterr().err == "inspect: layer \\x1b[2J\\nof two lines\n"
