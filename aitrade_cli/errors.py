"""Every family of failure a user can meet, and the exit code it ends with.

    AitradeError
    ├── VerdictNo   1   it ran, and the answer is no
    ├── Usage       2   the command line cannot mean anything
    ├── BadInput    4   something we were handed cannot be used
    ├── Missing     5   this machine lacks something
    ├── Refused     6   we could, but it would break a promise
    └── ReaderLeft  141 the reader of stdout closed early

A failure with a name of its own lives beside the code that raises it.
"""

from __future__ import annotations

from typing import ClassVar


class AitradeError(Exception):
    """A failure we expected and can explain. Never raised itself; raise a subclass.

    Args:
        message: one line, the offending value in backticks, no full stop.
        hint: the command or flag to try next; the class's own where not given.
    """

    exit_code: ClassVar[int]
    default_hint: ClassVar[str] = ""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = self.default_hint if hint is None else hint

    @property
    def name(self) -> str:
        """The stable word scripts match on, e.g. ``WouldOverwrite``."""
        return type(self).__name__


class VerdictNo(AitradeError):
    """It ran, and the answer is no: a budget was missed, a check failed."""

    exit_code = 1


class Usage(AitradeError):
    """The options contradict each other or a value is out of its range."""

    exit_code = 2


class BadInput(AitradeError):
    """Something we were handed cannot be used."""

    exit_code = 4


class Missing(AitradeError):
    """This machine lacks something: a GPU, a permission, an extra package."""

    exit_code = 5


class Refused(AitradeError):
    """We could do it, but the result would break a promise."""

    exit_code = 6


class NothingArrived(BadInput):
    """Stdin closed without a byte."""

    default_hint = "the stage before this one probably failed; run the line with `set -o pipefail`"

    def __init__(self) -> None:
        super().__init__("nothing arrived on stdin")


class WouldOverwrite(Refused):
    """The output path is taken and ``--force`` was not given."""

    default_hint = "pass `--force` to replace it, or `-o FILE` for another name"

    def __init__(self, path: str) -> None:
        super().__init__(f"`{path}` already exists")


class ReaderLeft(AitradeError):
    """The program reading our stdout has gone; 141 is what the shell expects then."""

    exit_code = 141

    def __init__(self) -> None:
        super().__init__("the reader of stdout closed early")
