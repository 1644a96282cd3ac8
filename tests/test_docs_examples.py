"""Every command line in the README, the docs and the catalogue runs, and ends as it says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from aitrade_cli.catalog import COMMANDS, ROWS
from tests.console import (
    Line,
    Played,
    faults_of,
    lines_of,
    pages,
    prepare,
    programs_of,
    run_line,
)
from tests.shell import ROOT

EXAMPLES: Final = sorted({row.example for row in (*COMMANDS, *ROWS)})
ON_PAGES: Final = [
    line
    for path in pages()
    for line in lines_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
]
# The generated pages repeat the examples of the catalogue, which are run below.
RUN: Final = [
    line
    for line in ON_PAGES
    if not line.not_run and line.text not in EXAMPLES and not line.text.startswith("make ")
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """The pages, each with a folder of its own."""
    base = tmp_path_factory.mktemp("pages")
    names = sorted({line.page for line in ON_PAGES})
    return {
        name: Played([line for line in RUN if line.page == name], prepare(base / str(number)))
        for number, name in enumerate(names)
    }


def end_of(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"


def skip_where_missing(command: str) -> None:
    for program in programs_of(command) - {"aitrade", "source", "cd", "set", "export"}:
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")


@pytest.mark.parametrize("line", ON_PAGES, ids=str)
def test_a_line_names_commands_options_and_targets_that_exist(line: Line) -> None:
    assert faults_of(line.text) == []


@pytest.mark.parametrize("line", RUN, ids=str)
def test_a_line_on_a_page_ends_as_the_page_says(line: Line, played: dict[str, Played]) -> None:
    skip_where_missing(line.text)
    done = played[line.page].up_to(line)
    assert done.returncode == line.exits, f"$ {line.text}\n{end_of(done)}"


@pytest.mark.parametrize("command", EXAMPLES)
def test_an_example_of_the_catalogue_ends_well(command: str, tmp_path: Path) -> None:
    assert faults_of(command) == []
    done = run_line(command, prepare(tmp_path / "page"))
    assert done.returncode == 0, f"$ {command}\n{end_of(done)}"


def test_no_page_shows_a_prompt_outside_a_console_block() -> None:
    for path in pages():
        text = re.sub(r"```console\n.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        assert re.findall(r"^\$ .*", text, re.MULTILINE) == [], path


PAGE: Final = """
```console
$ aitrade inspect a.pt | head -n 1
the output is no line
$ aitrade bench a.pt \\
    --batch 1
```

<!-- not run: it takes an hour -->
```console
$ aitrade check-all
```

<!-- exits: 1 -->

```console
$ aitrade quantize a.pt --max-flips 0%
```

```text
$ aitrade nothing
```
"""


def test_a_page_is_read_with_its_marks() -> None:
    assert [(line.number, line.text, line.not_run, line.exits) for line in lines_of("p", PAGE)] == [
        (3, "aitrade inspect a.pt | head -n 1", None, 0),
        (5, "aitrade bench a.pt --batch 1", None, 0),
        (11, "aitrade check-all", "it takes an hour", 0),
        (17, "aitrade quantize a.pt --max-flips 0%", None, 1),
    ]


@pytest.mark.parametrize(
    ("command", "faults"),
    [
        ("aitrade prune a.pt", ["there is no command `prune`"]),
        ("aitrade check-all --often", ["`check-all` has no `--often`"]),
        ("A=1 aitrade check-all --only=G1 | aitrade inspect -", []),
        ("cat x | aitrade inspect - --weight 2>&1", ["`inspect` has no `--weight`"]),
        ("make nothing", ["there is no target `nothing`"]),
        ("make demo && aitrade --help", []),
    ],
)
def test_a_line_that_means_nothing_is_noticed(command: str, faults: list[str]) -> None:
    assert faults_of(command) == faults


def test_a_line_that_fails_is_noticed(tmp_path: Path) -> None:
    assert run_line("aitrade inspect missing.pt | cat", prepare(tmp_path / "page")).returncode == 4
