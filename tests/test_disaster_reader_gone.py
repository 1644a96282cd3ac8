"""The reader of a pipe has left: exit 141, and not a word about it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.shell import PROGRAM, ROOT, surroundings

ARTEFACT = """
import sys
from aitrade_cli import main as program
from aitrade_cli.pipeline import write_output
program.load = lambda target: lambda: write_output("-", b"x" * {size})
sys.argv = ["aitrade", "inspect"]
program.main()
"""
PROGRESS = """
import sys
from aitrade_cli import main as program
from aitrade_cli.pipeline import progress
def inspect() -> None:
    with progress("inspect", as_json=False) as say:
        say("working")
program.load = lambda target: inspect
sys.argv = ["aitrade", "inspect"]
program.main()
"""


def with_reader_gone(words: list[str], stream: str = "stdout") -> tuple[int, bytes]:
    """Run with ``stream`` going to a pipe that nobody reads; the exit code, the other stream.

    The reader is closed before the start: one that leaves half-way can go unseen.
    """
    reader, writer = os.pipe()
    os.close(reader)
    on_stdout = stream == "stdout"
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=writer if on_stdout else subprocess.PIPE,
        stderr=subprocess.PIPE if on_stdout else writer,
        env=surroundings(AITRADE_FIXTURES="/nowhere"),
        cwd=ROOT,
        check=False,
    )
    os.close(writer)
    return done.returncode, done.stderr if on_stdout else done.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["check-all", "--help"], []], ids=" ".join
)
def test_help_ends_with_141(words: list[str]) -> None:
    assert with_reader_gone([*PROGRAM, *words]) == (141, b"")


@pytest.mark.parametrize("form", [[], ["--json"]], ids=["screen", "json"])
def test_a_report_ends_with_141(form: list[str]) -> None:
    code, said = with_reader_gone([*PROGRAM, "check-all", "--only", "M13", *form])
    assert code == 141
    # Progress was shown before; nothing is said of the reader.
    assert b"error" not in said
    assert b"Exception ignored" not in said


@pytest.mark.parametrize("size", [10, 10_000_000])
def test_an_artefact_ends_with_141(size: int) -> None:
    words = [sys.executable, "-c", ARTEFACT.format(size=size)]
    assert with_reader_gone(words) == (141, b"")


def test_progress_ends_with_141() -> None:
    assert with_reader_gone([sys.executable, "-c", PROGRESS], "stderr") == (141, b"")


def test_a_failure_that_nobody_reads_keeps_its_code() -> None:
    words = [*PROGRAM, "check-all", "--only", "Z9"]
    assert with_reader_gone(words, "stderr") == (2, b"")


def test_head_closes_a_pipe_without_a_word() -> None:
    line = f"set -o pipefail; {' '.join(PROGRAM)} --help | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=surroundings(), cwd=ROOT, check=False
    )
    assert done.returncode in {0, 141}  # 0 where help was faster than `true`
    assert done.stderr == b""


def test_a_reader_that_stays_gets_everything() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ARTEFACT.format(size=10_000_000)],
        capture_output=True,
        env=surroundings(),
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, len(done.stdout)) == (0, 10_000_000)
