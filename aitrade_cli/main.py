"""Turn the catalogue into a command line, and failures into exit codes."""

from __future__ import annotations

import errno
import inspect
import itertools
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Annotated, Any, Final, Literal

import typer

from aitrade_cli import __version__
from aitrade_cli.catalog import COMMANDS, EXIT_CODES, GROUPS, Command
from aitrade_cli.errors import AitradeError, BadInput, Missing, ReaderLeft, Usage

SUMMARY: Final = (
    "Make trading models smaller and faster, and prove on this machine that they trade the same."
)
INTERRUPTED: Final = 130
LOG_FORMAT, LOG_LEVEL = "AITRADE_LOG_FORMAT", "AITRADE_LOG_LEVEL"


class OutOfMemory(Missing):
    """The machine has less memory than the work needs."""

    default_hint = "close other programs, or use a smaller `--batch` or model"

    def __init__(self) -> None:
        super().__init__("this machine has too little memory for it")


class DiskFull(BadInput):
    """Something could not be written for lack of room."""

    default_hint = "free some room, or write elsewhere with `-o FILE` or TMPDIR"

    def __init__(self) -> None:
        super().__init__("no space left on the disk")


class Bug(AitradeError):
    """We did not expect this. The traceback is in a file, not on the screen."""

    exit_code = 3
    default_hint = "please send that file with the command line you typed"


def load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def placeholder() -> None: ...


def show_version(wanted: bool) -> bool:
    if wanted:
        print(__version__)
        raise typer.Exit
    return wanted


def options_of_the_program(
    version: Annotated[  # noqa: ARG001 -- its callback has done it all
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version"),
    ] = False,
    log_format: Annotated[
        Literal["text", "json"],
        typer.Option("--log-format", envvar=LOG_FORMAT, help="How log lines on stderr look"),
    ] = "text",
    log_level: Annotated[
        Literal["debug", "info", "warning", "error", "critical"],
        typer.Option("--log-level", envvar=LOG_LEVEL, help="The least serious line to log"),
    ] = "warning",
) -> None:
    # In the environment, so that worker processes log alike and nothing is imported yet.
    os.environ.update({LOG_FORMAT: log_format, LOG_LEVEL: log_level})


def epilog(row: Command) -> str:
    codes = " · ".join(f"{code} {EXIT_CODES[code]}" for code in row.exit_codes)
    return f"Example: {row.example}\n\nExit codes: {codes}"


def details(function: Callable[..., Any]) -> str:
    """The docstring with each paragraph on one line, for the terminal to break; lists stay."""
    return re.sub(r"(?<=\S)\n(?=[^\s\-])", " ", inspect.cleandoc(function.__doc__ or ""))


def build(words: Sequence[str]) -> typer.Typer:
    """Build the app for one command line.

    Only a command named in ``words`` is imported; the rest stand in as name and
    summary, which is all that `aitrade --help` needs of them.
    """
    app = typer.Typer(
        pretty_exceptions_enable=False,
        help=SUMMARY,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options_of_the_program)
    groups = {group.name: typer.Typer(help=group.summary) for group in GROUPS}
    for group in GROUPS:
        app.add_typer(groups[group.name], name=group.name, rich_help_panel=group.panel)
    for row in COMMANDS:
        asked = set(row.name.split()) <= set(words)
        function = load(row.target) if asked else placeholder
        group, _, verb = row.name.rpartition(" ")
        register = groups.get(group, app).command(
            verb,
            help=f"{row.summary}.\n\n{details(function)}",
            short_help=row.summary,
            epilog=epilog(row),
            rich_help_panel=row.panel,
        )
        register(function)
    return app


def words_to_complete() -> list[str]:
    # bash hands over the one, zsh and fish the other.
    names = ("COMP_WORDS", "_TYPER_COMPLETE_ARGS")
    return " ".join(os.environ.get(name, "") for name in names).split()


def command_of(words: Sequence[str]) -> str:
    """The command that a line names, the group where its verb is missing, or the program."""
    names = {row.name for row in COMMANDS} | {group.name for group in GROUPS}
    pairs = [f"{word} {after}" for word, after in itertools.pairwise(words)]
    return next((name for name in (*pairs, *words) if name in names), "aitrade")


def wants_json(words: Sequence[str]) -> bool:
    asked = os.environ.get("AITRADE_JSON", "").lower()
    return "--json" in words or asked in {"1", "true", "yes", "on", "t", "y"}


def debugging() -> bool:
    return os.environ.get("AITRADE_DEBUG", "") not in {"", "0"}


def tell(error: AitradeError, words: Sequence[str]) -> None:
    """Say on stderr what went wrong and what to try, for a person or as one JSON line."""
    if debugging():
        import traceback

        traceback.print_exc()
    try:
        if wants_json(words):
            from aitrade_cli.report.ndjson import write_error

            write_error(sys.stderr, command_of(words), error)
            return
        from aitrade_cli.report.plain import one_line, plain

        print(f"error: {one_line(str(error))}", file=sys.stderr)
        if error.hint:
            print(f"\nhint: {plain(error.hint)}", file=sys.stderr)
    except OSError:
        pass  # stderr is closed or its disk is full: nobody is left to tell


def bug_of(error: Exception) -> Bug:
    """Write the traceback where the user can pick it up; it never reaches the screen."""
    import platform
    import tempfile
    import traceback

    facts = f"aitrade {__version__}, Python {platform.python_version()}, {platform.platform()}"
    text = f"{facts}\n{' '.join(sys.argv)}\n\n{''.join(traceback.format_exception(error))}"
    said = f"a bug in aitrade ({type(error).__name__})"
    try:
        descriptor, path = tempfile.mkstemp(prefix="aitrade-bug-", suffix=".txt")
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        return Bug(f"{said}; its report could not be written", hint="set AITRADE_DEBUG=1 to see it")
    return Bug(f"{said}; see `{path}`")


def usage_of(error: typer.TyperException, words: Sequence[str]) -> Usage:
    name = command_of(words)
    command = "aitrade --help" if name == "aitrade" else f"aitrade {name} --help"
    return Usage(error.format_message().rstrip("."), hint=f"`{command}` lists what there is")


def failure_of(error: Exception, words: Sequence[str]) -> AitradeError:
    """The failure to tell the user for whatever was raised."""
    match error:
        case AitradeError():
            return error
        case typer.TyperException():
            return usage_of(error, words)
        case BrokenPipeError():
            return ReaderLeft()
        case MemoryError():
            return OutOfMemory()
        case OSError(errno=errno.ENOSPC):
            return DiskFull()
    return bug_of(error)


def run(words: Sequence[str]) -> int:
    """Run one command line; the exit code."""
    with logged(words) as end:
        end(code := run_command(words))
    return code


@contextmanager
def logged(words: Sequence[str]) -> Iterator[Callable[[int], None]]:
    """Log how the command ended where that was asked for; leave the environment as it was."""
    before = {name: os.environ.get(name) for name in (LOG_FORMAT, LOG_LEVEL)}
    start = time.monotonic()

    def end(code: int) -> None:
        if os.environ.get(LOG_LEVEL) in {"debug", "info"}:
            from aitrade_cli.system.logging import get_logger

            seconds = round(time.monotonic() - start, 3)
            said = {"command": command_of(words), "exit_code": code, "seconds": seconds}
            get_logger("aitrade").info("command ended", **said)

    try:
        yield end
    finally:
        if (log := sys.modules.get("aitrade_cli.system.logging")) is not None:
            log.close()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def run_command(words: Sequence[str]) -> int:
    try:
        if not sys.argv[1:] and "_AITRADE_COMPLETE" not in os.environ:
            build(())(["--help"], prog_name="aitrade", standalone_mode=False)
            return Usage.exit_code
        code = build(words)(prog_name="aitrade", standalone_mode=False)
        sys.stdout.flush()
        return code or 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as left:
        # Typer and Rich end the process with 1 when a reader leaves.
        if not isinstance(left.__context__, BrokenPipeError):
            raise
        failure: AitradeError = ReaderLeft()
    except Exception as error:  # the one place: whatever else got here is a bug of ours
        failure = failure_of(error, words)
        if not isinstance(failure, ReaderLeft):
            tell(failure, words)
    drop_what_is_left()
    return failure.exit_code


def drop_what_is_left() -> None:
    # Python flushes once more at its end, and would complain of the same failure.
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def main() -> None:
    """Run one command line and end the process with its exit code."""
    from aitrade_cli.pipeline.standard import prepare_streams

    prepare_streams()
    sys.exit(run([*sys.argv[1:], *words_to_complete()]))


if __name__ == "__main__":
    main()
