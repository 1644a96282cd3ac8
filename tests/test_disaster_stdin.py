"""Stdin that is empty, closed, a folder, a screen, or nothing but noise."""

from __future__ import annotations

import os
import pty
import random
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.shell import PROGRAM, ROOT, aitrade, surroundings

INSPECT = f"{shlex.join(PROGRAM)} inspect -"
MODEL = ROOT / "fixtures/models/mlp.pt"


def in_bash(line: str, **env: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, env=surroundings(**env), cwd=ROOT, check=False
    )
    assert done.stdout == b""
    return done.returncode, done.stderr.decode()


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("< /dev/null", 4, "error: nothing arrived on stdin"),
        ("<&-", 4, "error: nothing arrived on stdin"),
        ("< <(false)", 4, "error: nothing arrived on stdin"),
    ],
)
def test_what_is_no_input_is_one_line(source: str, code: int, said: str) -> None:
    ended, err = in_bash(f"{INSPECT} {source}")
    assert (ended, err.splitlines()[0]) == (code, said)


def test_an_endless_stdin_ends(tmp_path: Path) -> None:
    ended, err = in_bash(f"{INSPECT} < /dev/zero", AITRADE_MAX_MODEL_BYTES="50000000")
    assert (ended, "`stdin` holds more than 50,000,000 bytes" in err) == (4, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", [1, 64, 5000])
def test_noise_is_no_model(size: int) -> None:
    done = aitrade("inspect", "-", stdin=random.Random(size).randbytes(size))
    assert (done.returncode, done.stdout) == (4, b"")
    assert done.stderr.startswith(b"error: ")
    assert b"Traceback" not in done.stderr


def test_the_failure_of_the_stage_before_is_told_with_a_hint() -> None:
    ended, err = in_bash(f"cat missing.pt 2>/dev/null | {INSPECT}")
    assert (ended, "pipefail" in err) == (4, True)


def on_terminal(stream: str, *words: str) -> tuple[int, bytes, bytes]:
    """Run with one of the streams on a screen of its own; exit code, stdout, stderr."""
    leader, follower = pty.openpty()
    done = subprocess.run(
        [*PROGRAM, *words],
        stdin=follower if stream == "stdin" else subprocess.DEVNULL,
        stdout=follower if stream == "stdout" else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=surroundings(),
        cwd=ROOT,
        timeout=600,
        check=False,
    )
    os.close(follower)
    os.close(leader)
    return done.returncode, done.stdout or b"", done.stderr


def test_a_model_is_not_awaited_from_the_keyboard() -> None:
    code, _, err = on_terminal("stdin", "inspect", "-")
    assert (code, err.splitlines()[0]) == (4, b"error: stdin is a terminal, not a model")


@pytest.mark.parametrize("words", [("export-onnx",), ("quantize", "--int8")], ids=" ".join)
def test_bytes_do_not_go_to_a_screen(words: tuple[str, ...]) -> None:
    code, _, err = on_terminal("stdout", *words, str(MODEL), "-o", "-")
    assert (code, err.splitlines()[0]) == (6, b"error: refusing to print model bytes on a terminal")


def test_a_model_from_stdin_is_the_same_as_from_a_file() -> None:
    piped = aitrade("inspect", "-", "--json", stdin=MODEL.read_bytes())
    named = aitrade("inspect", str(MODEL), "--json")
    assert (piped.returncode, named.returncode) == (0, 0)
    assert piped.stdout.replace(b'"-"', b'"mlp.pt"') == named.stdout
