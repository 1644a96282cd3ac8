"""Every command line in the README, the docs and the catalogue runs, and ends as it says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from aitrade_cli.catalog import COMMANDS, ROWS
from tests.console import (
    Line,
    Stage,
    faults_of,
    lines_of,
    missing_program,
    pages,
    prepare,
    run_line,
)
from tests.shell import ROOT

EXAMPLES: Final = [
    Line(f"catalogue: {text}", 1, text)
    for text in sorted({row.example for row in (*COMMANDS, *ROWS)})
]
ON_PAGES: Final = [
    line
    for path in pages()
    for line in lines_of(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
]
# The generated pages repeat the examples of the catalogue.
REPEATED: Final = {line.text for line in EXAMPLES}
# `make test`'s own targets, and rows that `.ci/run` measures with all others; one shows the way.
ELSEWHERE: Final = re.compile(r"make |aitrade check-all --only (?!G1\b)[A-Z]\d+( --quick)?$")
RUN: Final = [
    line
    for line in EXAMPLES
    + [line for line in ON_PAGES if not line.not_run and line.text not in REPEATED]
    if not ELSEWHERE.match(line.text)
]


RUNNING: Final = "test_a_line_ends_as_its_page_says"


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Where the selected lines are being run."""
    wanted: list[Line] = []
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.originalname == RUNNING:
            line = item.callspec.params["line"]
            assert isinstance(line, Line)
            wanted.append(line)
    return Stage(wanted, RUN, tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("line", EXAMPLES + ON_PAGES, ids=str)
def test_a_line_names_commands_options_and_targets_that_exist(line: Line) -> None:
    assert faults_of(line.text) == []


@pytest.mark.parametrize("line", RUN, ids=str)
def test_a_line_ends_as_its_page_says(line: Line, stage: Stage) -> None:
    if missing := missing_program(line.text):
        pytest.skip(f"{missing} is not installed")
    done = stage.end_of(line)
    said = f"{done.stdout[-1500:]}\n{done.stderr[-1500:]}"
    assert done.returncode == line.exits, f"$ {line.text}\n{said}"


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
        ("aitrade melt a.pt", ["there is no command `melt`"]),
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
