"""Imports only point downwards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import aitrade_cli

ROOT: Final = Path(aitrade_cli.__path__[0])
FILES: Final = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
FLOOR: Final[dict[str, float]] = {
    "errors": 0, "catalog": 0, "files": 0, "units": 0,
    "lock": 0.5,  # it is refused with an error
    "report": 1,
    "system": 1.5,  # a model asks the processor what it can multiply
    "data": 2, "model": 2,
    "market": 3, "replay": 3, "inference": 3,
    "execution": 4, "fidelity": 4, "training": 4,
    "passes": 5, "agents": 5, "sentiment": 5,
    "search": 5.5,  # it trains as the pass of `train` does
    "checks": 6, "pipeline": 6, "commands": 7, "main": 8,
}  # fmt: skip
OUTSIDE: Final = {"__init__", "__main__"}  # the package itself, and the door to `main`


def modules_imported(source: str, file: str) -> Iterator[str]:
    """Every module named by an import of any form, absolute, wherever it stands."""
    package = ["aitrade_cli", *Path(file).parts[:-1]]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (name.name for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package[: len(package) - level + 1] if level else []
                start = ".".join([*above, *([module] if module else [])])
                yield from (f"{start}.{name.name}" for name in names)
            case ast.Call(func=ast.Name(id="import_module"), args=[ast.Constant(value=str(name))]):
                yield name


def parts_imported(source: str, file: str) -> set[str]:
    """The parts of the house that a file reaches into, its own included."""
    names = [name.split(".") for name in modules_imported(source, file)]
    # `from aitrade_cli import __version__` names no part.
    return {words[1] for words in names if words[0] == "aitrade_cli" and is_part(words[1:])}


def is_part(words: list[str]) -> bool:
    if not words:
        return False
    return (ROOT / words[0]).is_dir() or (ROOT / f"{words[0]}.py").is_file() or words[0] in FLOOR


def imports_upwards(source: str, file: str) -> list[str]:
    here = Path(file).with_suffix("").parts[0]
    theirs = parts_imported(source, file) - {here} - OUTSIDE
    return sorted(part for part in theirs if FLOOR[part] >= FLOOR[here])


@pytest.mark.parametrize("file", [file for file in FILES if Path(file).stem not in OUTSIDE])
def test_imports_point_down(file: str) -> None:
    assert imports_upwards((ROOT / file).read_text(), file) == []


@pytest.mark.parametrize("file", [file for file in FILES if "/" not in file])
def test_every_part_of_the_house_has_a_floor(file: str) -> None:
    assert Path(file).stem in FLOOR.keys() | OUTSIDE
    assert {path.name for path in ROOT.iterdir() if list(path.glob("*.py"))} <= FLOOR.keys()


@pytest.mark.parametrize(
    "source",
    [
        "import aitrade_cli.commands.options",
        "import os, aitrade_cli.commands as words",
        "from aitrade_cli import commands",
        "from aitrade_cli.commands import options",
        "from aitrade_cli.commands.options import Json",
        "from .. import commands",
        "from ..commands.options import Json",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import aitrade_cli.commands",
        "def late():\n    from aitrade_cli.commands import options",
        "from importlib import import_module\nimport_module('aitrade_cli.commands.options')",
    ],
)
def test_an_import_that_points_up_is_noticed_in_every_form(source: str) -> None:
    assert imports_upwards(source, "model/loading.py") == ["commands"]


def test_neighbours_on_one_floor_do_not_know_each_other() -> None:
    assert imports_upwards("import aitrade_cli.market.bars", "inference/latency.py") == ["market"]


def test_a_part_may_import_itself_and_what_lies_below() -> None:
    source = "from . import card\nfrom ..errors import BadInput\nfrom aitrade_cli import units"
    assert imports_upwards(source, "model/loading.py") == []


def outsiders(library: str, allowed: tuple[str, ...]) -> list[str]:
    """Files that import a library beyond the places that may."""
    sources = {file: (ROOT / file).read_text() for file in FILES}
    return [
        file
        for file, source in sources.items()
        if any(name.split(".")[0] == library for name in modules_imported(source, file))
        and not file.startswith(allowed)
    ]


def test_only_commands_and_main_know_typer() -> None:
    assert outsiders("typer", ("commands/", "main.py")) == []


def test_only_the_drawer_knows_rich() -> None:
    assert outsiders("rich", ("report/draw.py",)) == []


def test_nobody_imports_click() -> None:
    assert outsiders("click", ()) == []


def test_an_outsider_is_noticed() -> None:
    assert outsiders("typer", ("commands/",)) == ["main.py"]
