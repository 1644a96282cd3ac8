"""Command lines that stand in pages, and how the tests run them.

A page's `console` blocks run in order in one folder. A comment on the line before a block
changes that: `<!-- not run: REASON -->` or `<!-- exits: 1 -->`.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from aitrade_cli.catalog import Command, command_named
from docs.options import taken_by
from tests import warm
from tests.shell import ROOT, program_folder, surroundings

NOT_RUN: Final = re.compile(r"<!-- not run: (.+) -->")
EXITS: Final = re.compile(r"<!-- exits: (\d+) -->")
# What these lines show is the same with less of it.
SHORT: Final = {
    "AITRADE_SECONDS": "0.05",
    "AITRADE_ONLY": "G1",
    "AITRADE_QUICK": "1",
    "AITRADE_RUNTIME": "eager,onnxruntime",  # compiling takes a minute a model
}
BETWEEN: Final = {"|", "||", "&&", ";", "&"}
SHELL_WORDS: Final = {"aitrade", "source", "cd", "set", "export"}
Ended: TypeAlias = subprocess.CompletedProcess[str]
ALWAYS: Final = {"--help", "-h", "--version"}
OF_THE_PROGRAM: Final = {"--log-format", "--log-level"}  # each with a value, before the command


@dataclass(frozen=True, slots=True)
class Line:
    """One command line of a page."""

    page: str
    number: int
    text: str
    not_run: str | None = None
    exits: int = 0

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def lines_of(page: str, text: str) -> Iterator[Line]:
    """Every line after a `$ ` in a console block, continued lines joined."""
    inside, said = False, ""
    numbered = enumerate(text.splitlines(), start=1)
    for number, raw in numbered:
        row = raw.strip()
        if row.startswith("```"):
            inside = row == "```console" and not inside
            said = said if inside else ""
        elif inside and row.startswith("$ "):
            command = row.removeprefix("$ ")
            while command.endswith("\\"):
                command = command[:-1] + next(numbered)[1].strip()
            reason, code = NOT_RUN.search(said), EXITS.search(said)
            yield Line(page, number, command, reason and reason[1], int(code[1]) if code else 0)
        elif not inside and row:
            said = row


def pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def segments(command: str) -> Iterator[list[str]]:
    """The programs of a line with their words, what is set before them and sent away left out."""
    words: list[str] = []
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for word in lexer:
        if word in BETWEEN:
            yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)
    yield words


def faults_of(command: str) -> list[str]:
    """What a line could not mean, found without running it."""
    faults: list[str] = []
    for words in segments(command):
        match without_program_options(words):
            case ["aitrade", name, verb, *rest] if row := command_named(f"{name} {verb}"):
                faults += unknown_flags(row, rest)
            case ["aitrade", name, *rest] if row := command_named(name):
                faults += unknown_flags(row, rest)
            case ["aitrade", name, *_] if name not in ALWAYS:
                faults.append(f"there is no command `{name}`")
            case ["make", *targets]:
                makefile = (ROOT / "Makefile").read_text()
                known = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
                faults += [f"there is no target `{word}`" for word in targets if word not in known]
    return faults


def without_program_options(words: list[str]) -> list[str]:
    """`aitrade --log-level info bench …` without what stands before the command."""
    while len(words) > 2 and words[0] == "aitrade" and words[1] in OF_THE_PROGRAM:
        words = [words[0], *words[3:]]
    return words


def unknown_flags(row: Command, words: Sequence[str]) -> list[str]:
    flags = {flag for taken in taken_by(row) for flag in taken.flags} | ALWAYS
    own = words[: words.index("--")] if "--" in words else words  # what follows is another's
    asked = [word.split("=")[0] for word in own if re.match(r"--?[a-z]", word)]
    return [f"`{row.name}` has no `{flag}`" for flag in asked if flag not in flags]


def programs_of(command: str) -> set[str]:
    return {words[0] for words in segments(command) if words}


def prepare(folder: Path) -> Path:
    """A folder in which the lines of a page find what a clone has."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("fixtures", "completions"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".bin").mkdir()
    program_folder(folder / ".bin", warm.program())
    return folder


def run_line(command: str, folder: Path) -> Ended:
    path = f"{folder / '.bin'}:{ROOT / '.venv/bin'}:/usr/local/bin:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail\n{command}"],
        capture_output=True,
        cwd=folder,
        env=surroundings(PATH=path, **SHORT),
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=1200,
        check=False,
    )


def missing_program(command: str) -> str | None:
    """A program of the line that is not installed here."""
    needed = sorted(programs_of(command) - SHELL_WORDS)
    return next((program for program in needed if shutil.which(program) is None), None)


def play(lines: Sequence[Line], folder: Path) -> dict[Line, Ended]:
    """Run the lines of one page in order, in a folder of their own."""
    prepare(folder)
    return {line: run_line(line.text, folder) for line in lines if not missing_program(line.text)}


class Stage:
    """Plays pages two at a time, each as far as somebody waits for it."""

    def __init__(self, wanted: Sequence[Line], known: Sequence[Line], base: Path) -> None:
        self.pool = ThreadPoolExecutor(max_workers=2)
        self.pages: dict[str, Future[dict[Line, Ended]]] = {}
        for number, page in enumerate(dict.fromkeys(line.page for line in wanted)):
            last = max(line.number for line in wanted if line.page == page)
            # What stands above a line makes the files that the line reads.
            lines = [line for line in known if line.page == page and line.number <= last]
            self.pages[page] = self.pool.submit(play, lines, base / str(number))

    def end_of(self, line: Line) -> Ended:
        """How the line ended; waits for it."""
        return self.pages[line.page].result()[line]
