"""Which list grows without end, and what it is called."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final

from aitrade_cli.system.profiling.hooks.recorder import is_user_file

FEWEST: Final = 8  # shorter ones are not watched
MOST_NAMED: Final = 5


class Containers:
    """Lengths of containers at two times; those that grew, by the name they are reached under."""

    def __init__(self) -> None:
        self.first: dict[int, int] = {}
        self.grown: list[dict[str, Any]] = []

    def look(self, frame: FrameType) -> None:
        """Count now. From the second time on, name what grew and is in reach of the stack."""
        # Only by their names: `gc.get_objects` would also hold tuples that another thread is
        # about to resize, and Python refuses to resize a tuple that two hold.
        found = list(named(frame))
        if not self.first:
            self.first = {id(one): len(one) for _, _, _, one in found}
            return
        rows = []
        for file, function, name, one in found:
            before = self.first.get(id(one), 0)
            if len(one) >= max(FEWEST, 1.5 * before):
                rows.append(row_of(file, function, name, one, before))
        rows.sort(key=lambda row: -row["held_bytes"])
        self.grown = rows[:MOST_NAMED]


def named(frame: FrameType | None) -> Iterator[tuple[str, str, str, Any]]:
    """Containers that the user's frames reach by a name, or by one attribute of a name."""
    seen: set[int] = set()
    while frame is not None:
        code = frame.f_code
        if is_user_file(code.co_filename):
            for scope in (frame.f_locals, frame.f_globals):
                for name, value in list(scope.items()):
                    yield from reached(code.co_filename, code.co_name, name, value, seen)
        frame = frame.f_back


def reached(
    file: str,
    function: str,
    name: str,
    value: Any,  # noqa: ANN401
    seen: set[int],
) -> Iterator[tuple[str, str, str, Any]]:
    if isinstance(value, list | deque | dict | set):
        if id(value) not in seen and not name.startswith("__"):
            seen.add(id(value))
            yield file, function, name, value
        return
    inner = getattr(value, "__dict__", None)
    if type(inner) is dict and not isinstance(value, type(sys)) and not isinstance(value, type):
        for attribute, one in list(inner.items()):
            if isinstance(one, list | deque | dict | set) and id(one) not in seen:
                seen.add(id(one))
                yield file, function, f"{name}.{attribute}", one


def row_of(file: str, function: str, name: str, one: Any, before: int) -> dict[str, Any]:  # noqa: ANN401
    last = newest(one)
    held = size_of(last)
    return {
        "file": file, "function": function, "name": name, "kind": type(one).__name__,
        "before": before, "after": len(one), "element": type(last).__name__,
        "element_bytes": held, "held_bytes": held * len(one), "elements": numbers_in(last),
        "keeps_graph": getattr(last, "grad_fn", None) is not None,
    }  # fmt: skip


def newest(one: Any) -> Any:  # noqa: ANN401
    if isinstance(one, dict):
        return next(reversed(one.values()), None)
    if isinstance(one, set):
        return next(iter(one), None)
    return one[-1] if one else None


def size_of(value: Any) -> int:  # noqa: ANN401
    own = getattr(value, "nbytes", None)
    if isinstance(own, int):
        return own + 64
    inside: list[Any] = []
    if isinstance(value, list | tuple):
        inside = list(value)[:8]
    elif isinstance(value, dict):
        inside = list(value.values())[:8]
    if inside:
        return sys.getsizeof(value) + sum(size_of(item) for item in inside)
    return sys.getsizeof(value)


def numbers_in(value: Any) -> int:  # noqa: ANN401
    numel: Callable[[], int] | None = getattr(value, "numel", None)
    return 1 if numel is None else numel()
