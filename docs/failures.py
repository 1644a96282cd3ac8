"""Every failure a user can meet, read from the sources: importing them all would load torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Found:
    """One class of the package."""

    bases: tuple[str, ...]
    said: str  # first paragraph of its docstring, on one line
    code: int | None  # the exit code that it sets itself


def failures_in(folder: Path) -> dict[str, tuple[int, str]]:
    """Exit code and meaning by name, of each class that has or inherits an exit code."""
    found = {name: one for path in sorted(folder.rglob("*.py")) for name, one in classes_in(path)}
    coded = {name: code_of(name, found) for name in found}
    return {name: (code, found[name].said) for name, code in coded.items() if code is not None}


def classes_in(path: Path) -> Iterator[tuple[str, Found]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            bases = tuple(name for base in node.bases if (name := name_of(base)) != node.name)
            first = (ast.get_docstring(node) or "").split("\n\n")[0]
            yield node.name, Found(bases, first.replace("\n", " "), code_set_in(node))


def name_of(base: ast.expr) -> str:
    """The class that a base names, with its module before it or not; else an empty name."""
    match base:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def code_set_in(node: ast.ClassDef) -> int | None:
    for statement in node.body:
        match statement:
            case ast.Assign(
                targets=[ast.Name(id="exit_code")], value=ast.Constant(value=int(code))
            ):
                return code
    return None


def code_of(name: str, found: Mapping[str, Found]) -> int | None:
    if name not in found:
        return None
    codes = (found[name].code, *(code_of(base, found) for base in found[name].bases))
    return next((code for code in codes if code is not None), None)
