"""An option's environment variable follows from its long flag."""

from __future__ import annotations

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from aitrade_cli.commands.options import option


@pytest.mark.parametrize(
    ("flags", "variable"),
    [
        (("--json",), "AITRADE_JSON"),
        (("--max-flips",), "AITRADE_MAX_FLIPS"),
        (("-o", "--output"), "AITRADE_OUTPUT"),
        (("--mean/--no-mean",), "AITRADE_MEAN"),
    ],
)
def test_the_variable_is_the_long_flag(flags: tuple[str, ...], variable: str) -> None:
    assert option(*flags).envvar == variable


def test_the_flag_wins_over_the_variable_and_the_variable_over_the_default() -> None:
    app = typer.Typer()

    @app.command()
    def command(batch: Annotated[int, option("--batch", "-b")] = 1) -> None:
        typer.echo(batch)

    run = CliRunner().invoke
    assert run(app, []).output == "1\n"
    assert run(app, [], env={"AITRADE_BATCH": "2"}).output == "2\n"
    assert run(app, ["-b", "3"], env={"AITRADE_BATCH": "2"}).output == "3\n"
    assert run(app, ["--batch", "4"], env={"AITRADE_BATCH": "2"}).output == "4\n"
