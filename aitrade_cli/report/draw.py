"""Draw blocks with Rich. The only module that imports it for reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import StringIO, TextIOBase
from typing import TextIO, cast

from rich.cells import cell_len, chop_cells
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from aitrade_cli.report.blocks import Block, Facts, Notes, Table, Verdict
from aitrade_cli.report.plain import plain

WIDTH_WITHOUT_TERMINAL = 80
VERDICT_STYLE = {True: "bold green", False: "bold red", None: "bold"}


def draw(blocks: Iterable[Block], stream: TextIO | TextIOBase) -> None:
    """Print blocks to a stream; colour and width follow the terminal, or NO_COLOR.

    Raises:
        BrokenPipeError: nobody reads the stream any more. (Rich itself would end the
            process with 1, so it draws into memory and the text is written here.)
    """
    terminal = stream.isatty()
    console = Console(
        file=StringIO(),
        force_terminal=terminal or None,
        width=None if terminal else WIDTH_WITHOUT_TERMINAL,
        highlight=False,
        emoji=False,
    )
    with console.capture() as captured:
        draw_blocks(console, blocks)
    # Rich fills lines up with blanks; a diff or a mail is better without.
    stream.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


class Page:
    """Takes what a console would print, and keeps it."""

    def __init__(self) -> None:
        self.parts: list[RenderableType] = []

    def print(self, part: RenderableType = "") -> None:
        self.parts.append(part)


@contextmanager
def refreshing(stream: TextIO | TextIOBase) -> Iterator[Callable[[Iterable[Block]], None]]:
    """Hand out a function that draws blocks in place of the ones before; wiped at the end.

    Nothing is drawn between two calls, so watching costs nothing by itself.
    """
    console = Console(file=cast("TextIO", stream), highlight=False, emoji=False)
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(blocks: Iterable[Block]) -> None:
            live.update(Group(*parts_of(blocks, console.width)), refresh=True)

        yield show


def parts_of(blocks: Iterable[Block], width: int) -> Iterator[RenderableType]:
    """Blocks for a screen that is drawn again and again.

    Facts are laid out here as one text: Rich's grid takes several times as long for the same
    picture, and whoever watches a job must not take from it.
    """
    for position, block in enumerate(blocks):
        page = Page()
        if position:
            page.print()
        if isinstance(block, Facts):
            page.print(facts_text(block, width))
        else:
            draw_blocks(page, (block,))
        yield from page.parts


def facts_text(block: Facts, width: int) -> Text:
    """Labels dim and as wide as the widest, figures beside them, folded at the right edge."""
    text = Text(no_wrap=True, end="")
    if block.title:
        text.append(f"{plain(block.title)}\n", style="italic")
    rows = [(plain(label), plain(value)) for label, value in block.rows]
    beside = max((cell_len(label) for label, _ in rows), default=0)
    room = max(width - beside - 2, 1)
    for number, (label, value) in enumerate(rows):
        text.append("\n" if number else "")
        text.append(label + " " * (beside - cell_len(label)), style="dim")
        for at, line in enumerate(chop_cells(value, room)):
            text.append(f"\n{' ' * beside}  {line}" if at else f"  {line}")
    text.append("\n")
    return text


def draw_blocks(console: Console | Page, blocks: Iterable[Block]) -> None:
    for position, block in enumerate(blocks):
        if position:
            console.print()
        match block:
            case Verdict(text=text, good=good):
                console.print(Text(plain(text), style=VERDICT_STYLE[good]))
            case Notes(title=title, lines=lines):
                draw_notes(console, title, lines)
            case Facts() | Table():
                draw_grid(console, block)


def draw_notes(console: Console | Page, title: str, lines: Iterable[str]) -> None:
    if title:
        console.print(Text(plain(title), style="italic"))
    for line in lines:
        grid = RichTable.grid(padding=(0, 1))
        grid.add_row(Text("-"), Text(plain(line)))
        console.print(grid)


def draw_grid(console: Console | Page, block: Facts | Table) -> None:
    # `Text`, so that a `[` in a title is no markup.
    title = Text(plain(block.title), style="italic") if block.title else None
    grid = RichTable(title=title, title_justify="left", box=None, pad_edge=False)
    match block:
        case Facts():
            grid.show_header = False
            grid.add_column(style="dim", no_wrap=True)
            grid.add_column(justify="left", overflow="fold")
        case Table(columns=columns, left=left):
            for position, column in enumerate(columns):
                words = position < left
                grid.add_column(
                    Text(plain(column)),
                    justify="left" if words else "right",
                    overflow="fold",
                    no_wrap=not words,
                )
    for row in block.rows:
        grid.add_row(*(Text(plain(cell)) for cell in row))
    console.print(grid)
