"""The one list of what aitrade can do. Standard library only: `--help` reads it.

The command line, `check-all`, the reference pages, the README's table and the shell
completions are all built from these rows, so adding a row is all the registering there is.
"""

from __future__ import annotations

from typing import Final

from aitrade_cli.catalog.commands import COMMANDS, GROUPS, PANELS
from aitrade_cli.catalog.kinds import Claim, Command, Group, Row
from aitrade_cli.catalog.rows import ROWS

__all__ = [
    "COMMANDS",
    "EXIT_CODES",
    "GROUPS",
    "PANELS",
    "ROWS",
    "Claim",
    "Command",
    "Group",
    "Row",
    "command_named",
]

EXIT_CODES: Final = {
    0: "done",
    1: "it ran and the answer is no",
    2: "the command line was wrong",
    3: "a bug of aitrade's; a report is written and its path printed",
    4: "input that cannot be used",
    5: "this machine lacks something",
    6: "refused: would overwrite, or the file is unsafe",
    130: "interrupted",
    141: "the reader of stdout left",
}


def command_named(name: str) -> Command | None:
    """The row of a command, or None where there is none of that name."""
    return next((row for row in COMMANDS if row.name == name), None)
