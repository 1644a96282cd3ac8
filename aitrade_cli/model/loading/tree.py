"""Whether what was read is a tree of reasonable size, so that walking it ends."""

from __future__ import annotations

from typing import Any

from aitrade_cli.model.loading.limits import Limits
from aitrade_cli.model.loading.plain_pickle import BadPickle


def check_tree(value: Any, limits: Limits) -> None:  # noqa: ANN401 -- from a file
    """Refuse cycles, deep nesting and shared parts that multiply when walked.

    Raises:
        BadPickle: more than ``limits.depth`` levels or ``limits.opcodes`` values.
    """
    level, seen = [value], 0
    for _ in range(limits.depth):
        inner: list[Any] = []
        for item in level:
            seen += len(item) if isinstance(item, dict | list | tuple) else 0
            if seen > limits.opcodes:
                raise BadPickle("the pickle refers to its own parts too often")
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list | tuple):
                inner += item
        level = [item for item in inner if isinstance(item, dict | list | tuple)]
        if not level:
            return
    raise BadPickle(f"the pickle is nested deeper than {limits.depth} levels")
