"""The catalogue, the files on disk and the program say the same thing."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path
from typing import Final

import pytest

import aitrade_cli.commands
from aitrade_cli.catalog import (
    COMMANDS,
    EXIT_CODES,
    GROUPS,
    PANELS,
    ROWS,
    Command,
    Group,
    Row,
    command_named,
)
from tests.shell import aitrade

FOLDER: Final = Path(aitrade_cli.commands.__path__[0])
NAMES: Final = [row.name for row in COMMANDS]
IDS: Final = [row.id for row in ROWS]


def commands_in(folder: Path) -> set[str]:
    """Files that define a function of their own name: `prune.py` with `def prune`."""
    return {path.stem for path in folder.glob("*.py") if path.stem in functions_in(path)}


def functions_in(path: Path) -> set[str]:
    body = ast.parse(path.read_text()).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef)}


def test_every_command_file_has_a_row_and_every_row_a_file() -> None:
    assert commands_in(FOLDER) == {row.target.split(":")[1] for row in COMMANDS}


def test_a_file_without_a_row_would_be_noticed(tmp_path: Path) -> None:
    (tmp_path / "prune.py").write_text("def prune() -> None: ...")
    (tmp_path / "shares.py").write_text("def share() -> None: ...")
    assert commands_in(tmp_path) == {"prune"}


@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_one_word_names_command_file_and_function(row: Command) -> None:
    word = row.name.replace("-", "_").replace(" ", "_")
    assert row.target == f"aitrade_cli.commands.{word}:{word}"
    module = import_module(f"aitrade_cli.commands.{word}")
    assert module.__doc__ == f"`aitrade {row.name}`"


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_every_row_has_a_check_that_is_there(row: Row) -> None:
    module, _, function = row.check.partition(":")
    assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_every_row_is_reached_by_a_command_and_shown_by_an_example(row: Row) -> None:
    assert command_named(row.command)
    assert row.example.startswith(f"aitrade {row.command} ")


@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_every_command_has_an_example_of_its_own(row: Command) -> None:
    assert row.example.startswith(f"aitrade {row.name} ")


@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_a_summary_is_one_line_without_a_full_stop(row: Command) -> None:
    assert re.fullmatch(r"[A-Z][^\n]{10,80}[^.\s]", row.summary)


def test_names_and_ids_are_given_once() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert len(set(IDS)) == len(IDS)


def test_every_panel_is_used_and_every_command_stands_in_one() -> None:
    assert tuple(dict.fromkeys(row.panel for row in COMMANDS)) == PANELS


@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_exit_codes_are_known_and_in_order(row: Command) -> None:
    assert set(row.exit_codes) <= EXIT_CODES.keys()
    assert list(row.exit_codes) == sorted(row.exit_codes)
    assert {0, 2, 3} <= set(row.exit_codes)


@pytest.mark.parametrize("row", COMMANDS, ids=NAMES)
def test_help_ends_with_the_example_and_the_exit_codes(row: Command) -> None:
    # One long line, so that a word is not broken where the text is looked for.
    done = aitrade(*row.name.split(), "--help", env={"COLUMNS": "400"})
    text = done.stdout.decode()
    assert done.returncode == 0
    assert row.summary in text
    assert f"Example: {row.example}" in text
    assert all(f"{code} {EXIT_CODES[code]}" in text for code in row.exit_codes)


def test_the_program_lists_exactly_the_commands_of_the_catalogue() -> None:
    text = aitrade("--help", env={"COLUMNS": "200"}).stdout.decode()
    listed = re.findall(r"^│ ([a-z][a-z-]*) ", text, re.MULTILINE)
    assert sorted(listed) == sorted({name.split()[0] for name in NAMES})


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.name)
def test_a_group_lists_exactly_its_commands(group: Group) -> None:
    text = aitrade(group.name, "--help", env={"COLUMNS": "200"}).stdout.decode()
    listed = re.findall(r"^│ ([a-z][a-z-]*) ", text, re.MULTILINE)
    assert [f"{group.name} {verb}" for verb in listed] == [
        name for name in NAMES if name.startswith(f"{group.name} ")
    ]
    assert group.summary in text


@pytest.mark.parametrize("row", [row for row in ROWS if row.claim.speedup], ids=lambda row: row.id)
def test_a_claim_is_a_ratio_above_one_and_a_share(row: Row) -> None:
    assert row.claim.speedup is None or row.claim.speedup >= 1.0
    assert row.claim.memory_saved is None or -1.0 <= row.claim.memory_saved < 1.0


def test_reading_the_catalogue_imports_only_the_standard_library() -> None:
    sources = [path.read_text() for path in (FOLDER.parent / "catalog").glob("*.py")]
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom | ast.Import)]
    named = {n.module if isinstance(n, ast.ImportFrom) else n.names[0].name for n in imports}
    ours = {name for name in named if name and name.startswith("aitrade_cli.catalog.")}
    assert named - ours == {"__future__", "typing"}


def test_an_unknown_command_has_no_row() -> None:
    assert command_named("nothing-of-the-kind") is None
