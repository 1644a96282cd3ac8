"""A flamegraph as one SVG or HTML file that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final
from zlib import crc32

WIDTH: Final = 1200
ROW: Final = 17
LETTER: Final = 6.6  # width of a letter, in the drawing's units
THINNEST: Final = 0.4
TOP: Final = 34


@dataclass
class Node:
    """One function with all that it called."""

    seconds: float = 0.0
    children: dict[str, Node] = field(default_factory=dict)


def flamegraph_svg(stacks: Mapping[tuple[str, ...], float], title: str) -> str:
    """Draw stacks, root at the bottom; hovering tells name, seconds and share.

    Args:
        stacks: seconds by names, root first.
        title: what it is of.
    """
    root = tree_of(stacks)
    deep = depth(root)
    height = TOP + ROW * (deep + 1) + 10
    boxes = "".join(draw(root, "all", 0.0, WIDTH / max(root.seconds, 1e-9), 0, height, root))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}"'
        f' width="{WIDTH}" height="{height}" font-family="monospace" font-size="11">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>'
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">'
        f"{escape(title)}: {root.seconds:.2f} s</text>{boxes}</svg>\n"
    )


def flamegraph_page(stacks: Mapping[tuple[str, ...], float], title: str) -> str:
    """The same as a page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>svg{{width:100%;height:auto}}"
        "g:hover rect{stroke:#000}</style></head><body>"
        f"{flamegraph_svg(stacks, title)}</body></html>\n"
    )


def tree_of(stacks: Mapping[tuple[str, ...], float]) -> Node:
    """Stacks merged from the root on."""
    root = Node()
    for stack, seconds in stacks.items():
        root.seconds += seconds
        at = root
        for name in stack:
            at = at.children.setdefault(name, Node())
            at.seconds += seconds
    return root


def depth(node: Node) -> int:
    deepest, level = 0, [node]
    while level := [child for one in level for child in one.children.values()]:
        deepest += 1
    return deepest


def draw(
    node: Node, name: str, left: float, scale: float, row: int, height: int, root: Node
) -> Iterator[str]:
    """One box and those above it, widest first; what is too thin to see is left out."""
    waiting = [(node, name, left, row)]
    while waiting:
        one, label, x, level = waiting.pop()
        width = one.seconds * scale
        if width < THINNEST:
            continue
        y = height - ROW * (level + 1) - 6
        told = f"{label}: {one.seconds:.2f} s, {one.seconds / max(root.seconds, 1e-9):.1%}"
        letters = int((width - 4) / LETTER)
        text = label if len(label) <= letters else label[: max(letters - 1, 0)] + "…"
        shown = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(text)}</text>' if letters > 2 else ""
        yield (
            f"<g><title>{escape(told)}</title>"
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW - 1}"'
            f' fill="{colour(label)}"/>{shown}</g>'
        )
        at = x
        for key, child in sorted(one.children.items(), key=lambda pair: -pair[1].seconds):
            waiting.append((child, key, at, level + 1))
            at += child.seconds * scale


def colour(name: str) -> str:
    """Warm, and the same for the same name."""
    mixed = crc32(name.encode())
    return f"hsl({mixed % 45}, {65 + mixed % 25}%, {62 + (mixed >> 8) % 16}%)"
