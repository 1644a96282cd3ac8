"""Whatever happens ends in one exit code and at most a few lines, never in a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aitrade_cli import __version__
from aitrade_cli.main import command_of, details, wants_json
from tests.shell import ROOT, aitrade, surroundings

# The program with another body in the place of `inspect`.
TROUBLE = """
import errno, os, sys, time
import typer
from aitrade_cli import main as program
from aitrade_cli.errors import *
from aitrade_cli.pipeline import *

def inspect() -> None:
    {body}

program.load = lambda target: inspect
sys.argv = ["aitrade", "inspect", *{words!r}]
program.main()
"""


def start(body: str, *words: str, **env: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", TROUBLE.format(body=body, words=words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=surroundings(**env),
        cwd=ROOT,
        text=True,
    )


def trouble(body: str, *words: str, **env: str) -> tuple[int, str, str]:
    with start(body, *words, **env) as process:
        out, err = process.communicate(timeout=600)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ("pass", 0, ""),
        ("raise typer.Exit(1)", 1, ""),
        ("raise VerdictNo('`--max-flips` is missed')", 1, "error: `--max-flips` is missed\n"),
        ("raise Usage('one or the other')", 2, "error: one or the other\n"),
        ("raise BadInput('`a.pt` is empty')", 4, "error: `a.pt` is empty\n"),
        ("raise Missing('no GPU')", 5, "error: no GPU\n"),
        ("raise Refused('unsafe', hint='look')", 6, "error: unsafe\n\nhint: look\n"),
        ("raise KeyboardInterrupt", 130, ""),
        ("raise ReaderLeft", 141, ""),
        ("raise BrokenPipeError(errno.EPIPE, 'x')", 141, ""),
        ("raise BadInput('layer \\x1b[2J\\nof two')", 4, "error: layer \\x1b[2J\\nof two\n"),
    ],
)
def test_every_family_ends_in_its_code_and_its_words(body: str, code: int, said: str) -> None:
    assert trouble(body) == (code, "", said)


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ("raise MemoryError", 5, "too little memory"),
        ("raise OSError(errno.ENOSPC, 'full')", 4, "no space left"),
        ("sys.exit(7)", 7, ""),
    ],
)
def test_what_the_machine_lacks_is_no_bug(body: str, code: int, words: str) -> None:
    ended, out, err = trouble(body)
    assert (ended, out) == (code, "")
    assert words in err
    assert "Traceback" not in err


def test_a_bug_leaves_a_report_and_one_line(tmp_path: Path) -> None:
    code, out, err = trouble("raise RuntimeError('of ours')", TMPDIR=str(tmp_path))
    (report,) = tmp_path.glob("aitrade-bug-*.txt")
    assert (code, out) == (3, "")
    assert err.splitlines()[0] == f"error: a bug in aitrade (RuntimeError); see `{report}`"
    assert "Traceback" not in err
    text = report.read_text()
    assert "RuntimeError: of ours" in text
    assert f"aitrade {__version__}" in text
    assert "aitrade inspect" in text


def test_a_report_of_a_bug_is_for_its_owner_only(tmp_path: Path) -> None:
    trouble("raise RuntimeError", TMPDIR=str(tmp_path))
    (report,) = tmp_path.glob("aitrade-bug-*.txt")
    assert report.stat().st_mode & 0o077 == 0


def test_a_bug_with_json_is_an_envelope(tmp_path: Path) -> None:
    body = "raise RuntimeError"
    code, out, err = trouble(body, TMPDIR=str(tmp_path), AITRADE_JSON="1")
    line = json.loads(err)
    assert (code, out) == (3, "")
    assert (line["kind"], line["data"]["name"], line["data"]["exit_code"]) == ("error", "Bug", 3)


def test_a_bug_that_cannot_be_written_down_is_still_one_line() -> None:
    body = "import tempfile; tempfile.tempdir = '/dev/null/no'; raise RuntimeError"
    code, _, err = trouble(body)
    assert code == 3
    assert err.splitlines()[0].endswith("its report could not be written")
    assert "Traceback" not in err


@pytest.mark.parametrize("body", ["raise RuntimeError('ours')", "raise BadInput('theirs')"])
def test_debugging_shows_the_traceback_and_keeps_the_code(body: str, tmp_path: Path) -> None:
    quiet, _, _ = trouble(body, TMPDIR=str(tmp_path), AITRADE_DEBUG="0")
    code, _, err = trouble(body, TMPDIR=str(tmp_path), AITRADE_DEBUG="1")
    assert code == quiet
    assert "Traceback (most recent call last)" in err
    assert "raise " in err


@pytest.mark.parametrize(
    ("words", "name", "command"),
    [
        (["check-all", "--only", "Z9"], "UnknownRow", "check-all"),
        (["check-all", "--nothing"], "Usage", "check-all"),
        (["inspect", "missing.pt"], "CannotRead", "inspect"),
        (["nothing"], "Usage", "aitrade"),
    ],
)
def test_a_failure_with_json_is_one_line_on_stderr(
    words: list[str], name: str, command: str
) -> None:
    done = aitrade(*words, "--json")
    line = json.loads(done.stderr)
    assert done.stdout == b""
    assert line["command"] == command
    assert line["data"]["name"] == name
    assert line["data"]["exit_code"] == done.returncode


def test_a_command_that_is_nearly_right_is_suggested() -> None:
    done = aitrade("quantise")
    assert done.returncode == 2
    assert b"Did you mean 'quantize'?" in done.stderr
    assert b"`aitrade --help`" in done.stderr


def test_a_wrong_option_names_itself_and_the_help_of_its_command() -> None:
    done = aitrade("check-all", "--baselin")
    assert done.returncode == 2
    assert b"--baselin" in done.stderr
    assert b"`aitrade check-all --help`" in done.stderr


def test_without_words_the_help_is_shown_and_the_code_is_2() -> None:
    done = aitrade()
    assert (done.returncode, done.stderr) == (2, b"")
    assert done.stdout == aitrade("--help").stdout


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_ends_well(flag: str) -> None:
    assert aitrade(flag).returncode == 0


def test_the_version_is_one_word() -> None:
    assert aitrade("--version").stdout.decode() == f"{__version__}\n"


def test_an_interrupt_from_the_keyboard_ends_with_130() -> None:
    with start("sys.stderr.write('ready\\n'); sys.stderr.flush(); time.sleep(60)") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (130, "")


def test_importing_the_program_anew_does_not_run_it() -> None:
    # A worker process that is spawned imports `__main__` under another name.
    code = "import runpy; runpy.run_module('aitrade_cli', run_name='__mp_main__')"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, env=surroundings(), cwd=ROOT, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_paragraphs_are_for_the_terminal_to_break_and_lists_stay() -> None:
    def command() -> None:
        """One paragraph
        of two lines.

        Another
        - one
        - two
        """

    assert details(command) == "One paragraph of two lines.\n\nAnother\n- one\n- two"


@pytest.mark.parametrize(
    ("variable", "words", "wanted"),
    [
        ("", [], False),
        ("1", [], True),
        ("True", [], True),
        ("0", [], False),
        ("", ["--json"], True),
    ],
)
def test_json_is_asked_for_by_flag_or_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, words: list[str], *, wanted: bool
) -> None:
    monkeypatch.setenv("AITRADE_JSON", variable)
    assert wants_json(words) == wanted


def test_the_command_of_a_line_is_the_first_word_that_is_one() -> None:
    assert command_of(["--json", "bench", "quantize"]) == "bench"
    assert command_of(["replay", "verify", "x"]) == "replay verify"
    assert command_of(["replay", "nothing"]) == "replay"
    assert command_of(["--json"]) == "aitrade"
