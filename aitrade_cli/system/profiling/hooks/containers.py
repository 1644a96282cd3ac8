"""Which list grows without end, and what it is called."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterator
from types import CellType, FrameType, FunctionType, MethodType, ModuleType
from typing import Any, Final

from aitrade_cli.system.profiling.hooks.recorder import is_user_file

FEWEST: Final = 8  # shorter ones are not watched
MOST_NAMED: Final = 5
RISES: Final = 2
CONTAINERS: Final = (list, deque, dict, set)
DEEPEST: Final = 3  # names of attributes and closures in a row


class Containers:
    """Lengths of containers when first seen; those that grew, by the name they are reached by."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[int, int, int]] = {}
        self.grown: list[dict[str, Any]] = []

    def look(self, frame: FrameType) -> None:
        """Count now, and name what grew since it was first seen and is in reach of the stack."""
        # Only by their names: `gc.get_objects` would also hold tuples that another thread is
        # about to resize, and Python refuses to resize a tuple that two hold.
        rows = []
        for file, function, name, one in named(frame):
            # One that appears later is counted from then: what is made whole never grew. A new
            # one may stand where an old one stood, so one rise alone is none.
            first, last, rises = self.seen.get(id(one), (len(one), len(one), 0))
            rises = rises + 1 if len(one) > last else rises
            self.seen[id(one)] = (first, len(one), rises)
            if rises >= RISES and len(one) >= max(FEWEST, 1.5 * first):
                rows.append(row_of(file, function, name, one, first))
        rows.sort(key=lambda row: -row["held_bytes"])
        self.grown = rows[:MOST_NAMED]


def named(frame: FrameType | None) -> Iterator[tuple[str, str, str, Any]]:
    """Containers that the user's frames reach by a name, or by one attribute of a name."""
    seen: set[int] = set()
    while frame is not None:
        code = frame.f_code
        if is_user_file(code.co_filename):
            for scope in (frame.f_locals, frame.f_globals):
                at_hand = list(scope.items())
                # By its own name where it has one, rather than by a function that keeps it too.
                at_hand.sort(key=lambda pair: not isinstance(pair[1], CONTAINERS))
                for name, value in at_hand:
                    yield from reached(code.co_filename, code.co_name, name, value, seen)
        frame = frame.f_back


def reached(
    file: str,
    function: str,
    name: str,
    value: Any,  # noqa: ANN401
    seen: set[int],
    deep: int = DEEPEST,
) -> Iterator[tuple[str, str, str, Any]]:
    """A container itself, or those in an object's attributes or a function's closure."""
    if id(value) in seen or name.startswith("__"):
        return
    if isinstance(value, CONTAINERS):
        seen.add(id(value))
        yield file, function, name, value
        return
    if isinstance(value, type | ModuleType) or deep == 0:
        return
    for inner, one in parts_of(value):
        if isinstance(one, CONTAINERS) or belongs_to_user(one):
            seen.add(id(value))
            yield from reached(file, function, f"{name}.{inner}", one, seen, deep - 1)


def parts_of(value: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    """What a function closes over, what a method is bound to, or an object's attributes."""
    if isinstance(value, FunctionType):
        names, cells = value.__code__.co_freevars, value.__closure__ or ()
        return [(name, cell.cell_contents) for name, cell in zip(names, cells, strict=True)
                if filled(cell)]  # fmt: skip
    if isinstance(value, MethodType):
        return [(value.__name__, value.__self__)]
    inner = getattr(value, "__dict__", None)
    return list(inner.items()) if type(inner) is dict else []


def filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # the variable has no value yet
        return False


def belongs_to_user(value: Any) -> bool:  # noqa: ANN401
    """Whether the user wrote it, so that what hangs on it is looked at as well."""
    if isinstance(value, FunctionType):
        return is_user_file(value.__code__.co_filename)
    if isinstance(value, MethodType):
        return belongs_to_user(value.__func__)
    module = sys.modules.get(type(value).__module__)
    return is_user_file(getattr(module, "__file__", None) or "<built in>")


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
