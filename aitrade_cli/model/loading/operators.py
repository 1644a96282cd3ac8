"""Operators that are nobody's but a foreign library's."""

from __future__ import annotations

from collections.abc import Iterable

from aitrade_cli.errors import Refused


class CustomOperators(Refused):
    """The graph asks for operators that only a foreign native library could bring."""

    default_hint = "export the model with standard operators: `aitrade export-onnx MODEL`"

    def __init__(self, operators: Iterable[str]) -> None:
        names = sorted(set(operators))
        shown = ", ".join(f"`{name[:80]}`" for name in names[:6])
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        super().__init__(f"the graph wants custom operators: {shown}{more}")
