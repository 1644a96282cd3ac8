"""The program as a person runs it: a process of its own, bytes in and bytes out."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
PROGRAM: Final = (sys.executable, "-m", "aitrade_cli")
OF_THE_CALLER: Final = ("AITRADE_", "_AITRADE", "_TYPER", "COMP_", "FORCE_COLOR", "PYTHONIOENC")


def surroundings(**more: str) -> dict[str, str]:
    """The caller's environment without what would change what aitrade does."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(OF_THE_CALLER)}
    kept.pop("GITHUB_ACTIONS", None)  # Rich would colour everything
    fixed = {"COLUMNS": "80", "NO_COLOR": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return {**kept, **fixed, **more}


def aitrade(
    *words: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path = ROOT,
    timeout_seconds: float = 600.0,
    program: Sequence[str] = PROGRAM,
) -> subprocess.CompletedProcess[bytes]:
    """Run one command line to its end."""
    return subprocess.run(
        [*program, *words],
        input=stdin,
        capture_output=True,
        env=surroundings(**(env or {})),
        cwd=cwd,
        timeout=timeout_seconds,
        check=False,
    )


def python(code: str, *, env: Mapping[str, str] | None = None) -> str:
    """What a fresh interpreter prints on stderr after running ``code``."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=surroundings(**(env or {})),
        cwd=ROOT,
        check=True,
    )
    return done.stderr


def program_folder(folder: Path, words: Sequence[str] = PROGRAM) -> Path:
    """A folder for PATH with an `aitrade` in it that is the one under test."""
    text = f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n'
    # Written by a process of its own: a fork of another thread would hold the file open for
    # writing, and the kernel runs no such file.
    write = ["sh", "-c", 'cat > "$0" && chmod 755 "$0"', str(folder / "aitrade")]
    subprocess.run(write, input=text, text=True, check=True)
    return folder
