"""Turn the catalogue into a command line, and failures into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from aitrade_cli import __version__
from aitrade_cli.catalog import COMMANDS, EXIT_CODES, Command
from aitrade_cli.errors import AitradeError

SUMMARY: Final = (
    "Make trading models smaller and faster, and prove on this machine that they trade the same."
)
BUG: Final = 3
ISSUES_HINT: Final = "please send that file with the command line you typed"


def load(target: str) -> Callable[..., Any]:
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def placeholder() -> None: ...


def show_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


def options_of_the_program(
    version: Annotated[
        bool,
        typer.Option("--version", callback=show_version, is_eager=True, help="Print the version"),
    ] = False,
) -> None: ...


def epilog(row: Command) -> str:
    codes = " · ".join(f"{code} {EXIT_CODES[code]}" for code in row.exit_codes)
    return f"Example: {row.example}\n\nExit codes: {codes}"


def build(words: Sequence[str]) -> typer.Typer:
    """Build the app for one command line.

    Only a command named in ``words`` is imported; the rest stand in as name and
    summary, which is all that `aitrade --help` needs of them.
    """
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help=SUMMARY,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(options_of_the_program)
    for row in COMMANDS:
        function = load(row.target) if row.name in words else placeholder
        details = (function.__doc__ or "").strip()
        register = app.command(
            row.name,
            help=f"{row.summary}.\n\n{details}",
            short_help=row.summary,
            epilog=epilog(row),
            rich_help_panel=row.panel,
        )
        register(function)
    return app


def command_of(words: Sequence[str]) -> str:
    names = {row.name for row in COMMANDS}
    return next((word for word in words if word in names), "aitrade")


def tell(error: AitradeError, command: str, *, as_json: bool) -> None:
    if as_json:
        from aitrade_cli.report.ndjson import write_error

        write_error(sys.stderr, command, error)
        return
    print(f"error: {error}", file=sys.stderr)
    if error.hint:
        print(f"\nhint: {error.hint}", file=sys.stderr)


def record_bug() -> Path:
    """Write the traceback where the user can pick it up; it never reaches the screen."""
    import platform
    import tempfile
    import traceback

    path = Path(tempfile.gettempdir()) / f"aitrade-bug-{os.getpid()}.txt"
    facts = f"aitrade {__version__}, Python {platform.python_version()}, {platform.platform()}"
    path.write_text(f"{facts}\n{' '.join(sys.argv)}\n\n{traceback.format_exc()}")
    return path


def debugging() -> bool:
    return os.environ.get("AITRADE_DEBUG", "") not in {"", "0"}


def wants_json(words: Sequence[str]) -> bool:
    asked = os.environ.get("AITRADE_JSON", "").lower() in {"1", "true", "yes", "on", "t", "y"}
    return "--json" in words or (asked and "--no-json" not in words)


def main() -> None:
    """Run one command line and end the process with its exit code."""
    completing = (os.environ.get(name, "") for name in ("COMP_WORDS", "_TYPER_COMPLETE_ARGS"))
    words = [*sys.argv[1:], *" ".join(completing).split()]
    try:
        build(words)(prog_name="aitrade")
    except AitradeError as error:
        if debugging():
            raise
        tell(error, command_of(words), as_json=wants_json(words))
        sys.exit(error.exit_code)
    except Exception as error:  # the one place: whatever got here is a bug of ours
        if debugging():
            raise
        path = record_bug()
        print(f"error: a bug in aitrade ({type(error).__name__}); see `{path}`", file=sys.stderr)
        print(f"\nhint: {ISSUES_HINT}", file=sys.stderr)
        sys.exit(BUG)


if __name__ == "__main__":
    main()
