"""What there is to profile: a script, a command, a running process or a model file."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from aitrade_cli.errors import BadInput, Usage

TEXT_LOOKED_AT: Final = 4 * 1024**2  # a larger file is no script


class NothingToProfile(Usage):
    """No target was given, or two at once."""

    default_hint = "`aitrade profile train.py`, or `aitrade profile -- python train.py --steps 50`"


class NoSuchTarget(BadInput):
    """The first word names no file here and no program on the PATH."""


class NotAProgram(BadInput):
    """The file is neither a Python script, nor a model, nor may it be executed."""


@dataclass(frozen=True, slots=True)
class Program:
    """A command line to run. ``python`` is the interpreter where the hooks can go in."""

    words: tuple[str, ...]  # as the user would type them
    python: str | None = None
    script: tuple[str, ...] = ()  # what that interpreter runs: a file or `-m module`, and arguments

    @property
    def name(self) -> str:
        """How the report calls it."""
        return " ".join(self.words)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A file that is no text: the model loader says what it is."""

    path: str


Target: TypeAlias = Program | ModelFile
Kind: TypeAlias = Literal["script", "binary", "program"]


def target_of(words: Sequence[str]) -> Target:
    """Tell what the words of a command line name, by the content of the file.

    A Python script runs in this interpreter; `python script.py` and `python -m module` in the
    one that is named. Whatever else is on the PATH is run as it is.

    Raises:
        NothingToProfile: there are no words.
        NoSuchTarget: the first names no file and no program.
        NotAProgram: it names a file that cannot be run.
    """
    if not words:
        raise NothingToProfile("there is nothing to profile")
    first = words[0]
    path = Path(first)
    if path.is_file():
        kind = kind_of(path)
        if kind == "script":
            return Program(tuple(words), sys.executable, tuple(words))
        if kind == "binary" and not os.access(path, os.X_OK):
            return ModelFile(first)
        if not os.access(path, os.X_OK):
            raise NotAProgram(f"`{first}` is neither a Python script nor a model")
    found = shutil.which(first)
    if found is None:
        raise NoSuchTarget(f"there is no file and no program `{first}`")
    return command_of(tuple(words), found)


def command_of(words: tuple[str, ...], found: str) -> Program:
    """A program of the PATH; where it is Python with a script, the hooks can go in."""
    if is_python(found):
        rest = words[1:]
        if rest[:1] == ("-m",) and len(rest) > 1:
            return Program(words, found, rest)
        if rest and not rest[0].startswith("-"):
            if not Path(rest[0]).is_file():
                raise NoSuchTarget(f"there is no file `{rest[0]}`")
            return Program(words, found, rest)
    return Program(words)


def is_python(path: str) -> bool:
    """Whether a program is an interpreter, by its name: `python`, `python3`, `python3.12`."""
    return os.path.basename(path).rstrip("0123456789.") == "python"


def kind_of(path: Path) -> Kind:
    """A Python script by its text, a binary file by a byte that no text has, or else."""
    with path.open("rb") as file:
        data = file.read(TEXT_LOOKED_AT + 1)
    if b"\0" in data[:4096]:
        return "binary"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return "binary"
    if text.startswith("#!"):
        return "script" if "python" in text.split("\n", 1)[0] else "program"
    if path.suffix == ".py":
        return "script"
    return "script" if len(data) <= TEXT_LOOKED_AT and is_source(text) else "program"


def is_source(text: str) -> bool:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return any(isinstance(node, ast.Import | ast.ImportFrom | ast.Call) for node in ast.walk(tree))
