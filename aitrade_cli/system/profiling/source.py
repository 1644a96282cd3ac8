"""The user's source: what stands around a line, and edits that leave the rest as it is."""

from __future__ import annotations

import ast
import difflib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, TypeAlias

Loop: TypeAlias = ast.For | ast.While | ast.AsyncFor
Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


class Edit(NamedTuple):
    """Replace the bytes from ``start`` to ``end`` with ``text``; an empty range inserts."""

    start: int
    end: int
    text: str
    top: bool = False  # before whatever else goes in at the same place


class Source:
    """One file, parsed."""

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self.data = text.encode()
        self.tree = ast.parse(text)
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.parents = {
            child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)
        }

    @classmethod
    def read(cls, path: str) -> Source | None:
        """Parse a file; None where it is gone or is no Python of this version."""
        try:
            return cls(path, Path(path).read_text(encoding="utf-8"))
        except (OSError, SyntaxError, ValueError):
            return None

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Offset of a node in bytes."""
        return self.starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Offset after a node in bytes."""
        return self.starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def segment(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node."""
        return self.data[self.start(node) : self.end(node)].decode()

    def line_text(self, line: int) -> str:
        """One line, without its break."""
        lines = self.text.splitlines()
        return lines[line - 1] if 0 < line <= len(lines) else ""

    def above(self, node: ast.AST) -> Iterator[ast.AST]:
        """What a node stands in, innermost first."""
        while (parent := self.parents.get(node)) is not None:
            yield parent
            node = parent

    def statement_at(self, line: int) -> ast.stmt | None:
        """The innermost statement that covers a line."""
        found = [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or line)
        ]
        return max(found, key=lambda node: (node.lineno, node.col_offset), default=None)

    def function_at(self, line: int) -> Function | None:
        """The innermost function that covers a line."""
        at = self.statement_at(line)
        if isinstance(at, Function):
            return at
        return next((n for n in self.above(at) if isinstance(n, Function)), None) if at else None

    def loops_at(self, line: int) -> list[Loop]:
        """The loops around a line within its function, outermost first."""
        at = self.statement_at(line)
        if at is None:
            return []
        loops: list[Loop] = [at] if isinstance(at, Loop) else []
        for node in self.above(at):
            if isinstance(node, Function | ast.ClassDef | ast.Lambda):
                break
            if isinstance(node, Loop):
                loops.append(node)
        return loops[::-1]

    def calls(self, *names: str) -> list[ast.Call]:
        """Calls of functions whose dotted name ends in one of ``names``."""
        return [
            node
            for node in ast.walk(self.tree)
            if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in names
        ]

    def call_at(self, line: int, *names: str) -> ast.Call | None:
        """Such a call that covers a line; the smallest one."""
        found = [
            call for call in self.calls(*names) if call.lineno <= line <= (call.end_lineno or line)
        ]
        return min(found, key=lambda call: self.end(call) - self.start(call), default=None)

    def edited(self, edits: Iterable[Edit]) -> str:
        """The text with the edits made.

        Raises:
            SyntaxError: they do not leave Python.
        """
        data = self.data
        # Of two at one place, the one that is made last comes first: imports above decorators.
        for edit in sorted(edits, key=lambda one: (one.start, one.end, not one.top), reverse=True):
            data = data[: edit.start] + edit.text.encode() + data[edit.end :]
        text = data.decode()
        ast.parse(text)
        return text

    def replacing(self, node: ast.expr | ast.stmt, text: str) -> Edit:
        """Put other text where a node stands."""
        return Edit(self.start(node), self.end(node), text)

    def before(self, statement: ast.stmt, text: str) -> Edit:
        """Put a line in front of a statement, indented like it."""
        indent = " " * statement.col_offset
        decorators = getattr(statement, "decorator_list", None) or []
        first = min([statement.lineno, *(one.lineno for one in decorators)])
        at = self.starts[first - 1]
        lines = "".join(f"{indent}{line}\n" for line in text.splitlines())
        return Edit(at, at, lines)

    def keyword(self, call: ast.Call, name: str, value: str) -> Edit:
        """Give a call a keyword, or another value for it."""
        for one in call.keywords:
            if one.arg == name:
                return self.replacing(one.value, value)
        inside = [*call.args, *(one.value for one in call.keywords)]
        if not inside:
            at = self.end(call) - 1
            return Edit(at, at, f"{name}={value}")
        at = max(self.end(one) for one in inside)
        return Edit(at, at, f", {name}={value}")

    def importing(self, *statements: str) -> Edit:
        """Add imports after those that are there."""
        body = self.tree.body
        missing = [line for line in statements if line not in self.text.splitlines()]
        at = 0
        for node in body:
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            if not (text or isinstance(node, ast.Import | ast.ImportFrom)):
                break
            at = self.starts[node.end_lineno or node.lineno]
        return Edit(at, at, "".join(f"{line}\n" for line in missing), top=True)


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a chain of names; the part that is known where it starts with something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def keyword_of(call: ast.Call, name: str) -> ast.expr | None:
    """The value that a call gives to a keyword."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def number_of(node: ast.expr | None) -> int | None:
    """The whole number that a node writes out."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return node.value
    return None


def names_in(node: ast.AST) -> set[str]:
    """Every name that a node reads."""
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def names_bound_in(node: ast.AST) -> set[str]:
    """Every name that a node gives a value to, in any way, and those it changes in place."""
    bound: set[str] = set()
    for one in ast.walk(node):
        match one:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.Subscript(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.Attribute(value=ast.Name(id=name), ctx=ast.Store() | ast.Del()):
                bound.add(name)
            case ast.AugAssign(target=ast.Name(id=name)):
                bound.add(name)
            case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attr)) if (
                attr.endswith("_") and not attr.endswith("__")
            ) or attr in {"append", "extend", "insert", "pop", "remove", "clear", "update", "sort"}:
                bound.add(name)
    return bound


def diff_of(path: str, before: str, after: str) -> str:
    """A unified diff that `patch -p0` takes, by the path as it is seen from here."""
    name = os.path.relpath(path) if os.path.isabs(path) else path
    name = path if name.startswith("..") else name
    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), name, name, n=1
    )
    return "".join(lines)
