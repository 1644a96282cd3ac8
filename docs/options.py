"""What each command takes, read from its signature: the source of the generated pages."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from aitrade_cli.catalog import Command

TYPE_WORDS: Final = {int: "WHOLE NUMBER", float: "NUMBER", str: "TEXT"}


@dataclass(frozen=True, slots=True)
class Taken:
    """One argument or option of a command."""

    flags: tuple[str, ...]  # empty for an argument
    value: str  # what stands behind the flag; empty for a switch
    variable: str | None
    default: str
    help: str
    type: Any


def function_of(command: Command) -> Callable[..., Any]:
    module, _, name = command.target.partition(":")
    return getattr(import_module(module), name)


def taken_by(command: Command) -> tuple[Taken, ...]:
    """Arguments and options in the order of the signature."""
    return tuple(read_signature(function_of(command)))


def read_signature(function: Callable[..., Any]) -> Iterator[Taken]:
    hints = get_type_hints(function, include_extras=True)
    for name, parameter in inspect.signature(function).parameters.items():
        kind, info = get_args(hints[name])
        flags = () if type(info).__name__ == "ArgumentInfo" else (info.default, *info.param_decls)
        yield Taken(
            flags,
            value_of(kind, info),
            info.envvar,
            ""
            if parameter.default in {None, False, inspect.Parameter.empty}
            else str(parameter.default),
            info.help or "",
            kind,
        )


def value_of(kind: Any, info: Any) -> str:  # noqa: ANN401 -- Typer's own parameter classes
    if kind is bool:
        return ""
    bounds = ("≥ ", info.min), ("≤ ", info.max)
    limits = " ".join(f"{sign}{bound:g}" for sign, bound in bounds if bound is not None)
    return f"{info.metavar or words_for(kind)} {limits}".strip()


def words_for(kind: Any) -> str:  # noqa: ANN401
    inner = next((part for part in get_args(kind) if part is not NoneType), kind)
    if get_origin(kind) is Literal:
        return "|".join(str(word) for word in get_args(kind))
    return TYPE_WORDS[inner] if inner in TYPE_WORDS else words_for(inner)
