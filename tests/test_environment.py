"""Every option of every command can come from `AITRADE_<OPTION>`, and flags win."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import aitrade_cli
from aitrade_cli.catalog import COMMANDS, Command
from docs.options import Taken, taken_by
from tests.shell import ROOT, aitrade

PAGE = ROOT / "docs/reference/environment-variables.md"


def expected_name(flags: tuple[str, ...]) -> str:
    long = next(flag for flag in flags if flag.startswith("--")).split("/")[0]
    return "AITRADE_" + long.removeprefix("--").replace("-", "_").upper()


def without_variable(taken: tuple[Taken, ...], command: str = "") -> list[str]:
    """Options whose variable has another name; one of a command's own may begin with it."""
    own = f"AITRADE_{command.replace(' ', '_').replace('-', '_').upper()}_"
    found = []
    for entry in taken:
        usual = expected_name(entry.flags) if entry.flags else entry.variable
        if entry.variable not in {usual, (usual or "").replace("AITRADE_", own)}:
            found.append(entry.flags[0])
    return found


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_every_option_has_its_variable(row: Command) -> None:
    assert without_variable(taken_by(row), row.name) == []


def test_an_option_without_one_would_be_noticed() -> None:
    assert without_variable((Taken(("--data",), "BARS", None, "", "", str),)) == ["--data"]
    assert without_variable((Taken(("--data",), "", "AITRADE_BARS", "", "", str),)) == ["--data"]
    other = (Taken(("--data",), "", "AITRADE_TRAIN_DATA", "", "", str),)
    assert without_variable(other, "train") == []
    assert without_variable(other, "bench") == ["--data"]


@pytest.mark.parametrize("row", COMMANDS, ids=lambda row: row.name)
def test_the_help_shows_each_variable(row: Command) -> None:
    text = aitrade(*row.name.split(), "--help", env={"COLUMNS": "200"}).stdout.decode()
    variables = [taken.variable for taken in taken_by(row) if taken.variable]
    assert [name for name in variables if f"env var: {name}" not in text] == []


def test_one_variable_has_one_type_in_all_commands() -> None:
    kinds: dict[str, set[str]] = {}
    for row in COMMANDS:
        for taken in taken_by(row):
            kinds.setdefault(taken.variable or "", set()).add(without_none(taken.type))
    assert [name for name, types in kinds.items() if name and len(types) > 1] == []


def without_none(kind: object) -> str:
    """An option that may be left out takes the same words as one with a default."""
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return name.removesuffix(" | None")


def test_a_type_is_told_apart_and_none_is_not() -> None:
    assert without_none(int) == without_none(int | None) == "int"
    assert without_none(bool) != without_none(str | None)


def test_a_value_comes_from_the_environment() -> None:
    done = aitrade("check-all", env={"AITRADE_ONLY": "Z9"})
    assert (done.returncode, b"`Z9`" in done.stderr) == (2, True)


def test_the_flag_wins() -> None:
    done = aitrade("check-all", "--only", "Z8", env={"AITRADE_ONLY": "Z9"})
    assert b"`Z8`" in done.stderr
    assert b"`Z9`" not in done.stderr


def test_a_value_that_cannot_be_used_names_its_variable() -> None:
    done = aitrade("check-all", env={"AITRADE_TIMEOUT": "soon"})
    assert done.returncode == 2
    assert b"AITRADE_TIMEOUT" in done.stderr


def test_every_variable_that_the_sources_read_is_documented() -> None:
    package = Path(aitrade_cli.__path__[0])
    sources = "\n".join(path.read_text() for path in package.rglob("*.py"))
    named = set(re.findall(r"\bAITRADE_[A-Z][A-Z_]*[A-Z]\b", sources)) - {"AITRADE_COMPLETE"}
    page = PAGE.read_text()
    assert {"AITRADE_DEBUG", "AITRADE_FIXTURES"} <= named
    assert sorted(name for name in named if f"`{name}`" not in page) == []
