"""Streams that the caller closed, and terminals that are not UTF-8."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.shell import PROGRAM, ROOT, surroundings

CHECK = "check-all --only Z9"


def in_bash(line: str, **env: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", line.replace("aitrade", " ".join(PROGRAM))]
    return subprocess.run(
        words, capture_output=True, env=surroundings(**env), cwd=ROOT, text=True, check=False
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&- <&-"])
@pytest.mark.parametrize(("words", "code"), [("--help", 0), ("--version", 0), (CHECK, 2)])
def test_a_closed_stream_changes_no_exit_code(words: str, code: int, closed: str) -> None:
    done = in_bash(f"aitrade {words} {closed}")
    assert done.returncode == code
    assert "Traceback" not in done.stderr + done.stdout


def test_a_closed_stdin_is_an_empty_one() -> None:
    done = in_bash("aitrade inspect - <&-")
    assert (done.returncode, "nothing arrived on stdin" in done.stderr) == (4, True)


def test_a_message_on_a_closed_stderr_lands_in_no_file() -> None:
    assert in_bash(f"aitrade {CHECK} 2>&-").stdout == ""


SAY = "from aitrade_cli.pipeline.standard import prepare_streams as p; p(); print('12 µs —')"


def test_a_letter_that_the_terminal_lacks_is_spelt_out() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAY],
        capture_output=True,
        env=surroundings(PYTHONIOENCODING="ascii"),
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("12 \\xb5s \\u2014\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-16"])
def test_help_reaches_a_terminal_of_any_encoding(encoding: str) -> None:
    done = subprocess.run(
        [*PROGRAM, "--help"],
        capture_output=True,
        env=surroundings(PYTHONIOENCODING=encoding),
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert "quantize" in done.stdout.decode(encoding)
