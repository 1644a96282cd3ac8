"""A file stays under 300 lines and a function under 40, or the reason stands in it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.shell import ROOT

LINES_IN_FILE: Final = 300
LINES_IN_FUNCTION: Final = 40
REASON: Final = "# long because "
PLACES: Final = ("aitrade_cli", "docs", "fixtures", "tests")
FILES: Final = sorted(path for place in PLACES for path in (ROOT / place).rglob("*.py"))


def too_long(source: str) -> Iterator[str]:
    """What is past its limit and gives no reason."""
    lines = source.splitlines()
    if len(lines) > LINES_IN_FILE and not any(line.startswith(REASON) for line in lines):
        yield f"the file has {len(lines)} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            taken = lines_of(node)
            inside = lines[node.lineno - 1 : node.end_lineno]
            if taken > LINES_IN_FUNCTION and not any(REASON in line for line in inside):
                yield f"`{node.name}` has {taken} lines"


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of the body. The signature and the docstring are for the caller."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_longer_than_a_screen_or_ten(path: Path) -> None:
    assert list(too_long(path.read_text(encoding="utf-8"))) == []


LONG: Final = "def long():\n" + "    a = 1\n" * 41


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (LONG, ["`long` has 41 lines"]),
        (LONG.replace("\n", "\n    # long because it is a table\n", 1), []),
        ("a = 1\n" * 301, ["the file has 301 lines"]),
        ("# long because it is a table\n" + "a = 1\n" * 300, []),
        ("a = 1\n" * 300, []),
        ("def f():\n    '''" + "words\n" * 60 + "'''\n    return 1\n", []),
        ("class C:\n    async def f(self):\n" + "        a = 1\n" * 41, ["`f` has 41 lines"]),
    ],
)
def test_the_rule_can_fail_and_takes_a_reason(source: str, found: list[str]) -> None:
    assert list(too_long(source)) == found
