"""Options that mean the same thing in every command.

Every option can also come from the environment as ``AITRADE_<OPTION>``; flags win.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer


def option(*flags: str, variable: str | None = None, **details: Any) -> Any:  # noqa: ANN401
    """A Typer option whose environment variable follows from its long flag.

    ``variable`` names another one, ``AITRADE_<COMMAND>_<OPTION>``, where the flag means something
    else in another command.
    """
    long = next(flag for flag in flags if flag.startswith("--")).split("/")[0]
    name = "AITRADE_" + long.removeprefix("--").replace("-", "_").upper()
    return typer.Option(*flags, envvar=variable or name, **details)


ModelIn = Annotated[str, typer.Argument(metavar="MODEL", help="Model file, or `-` for stdin")]
ModelsIn = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="Model files; `-` for stdin")
]
ModelOut = Annotated[
    str | None,
    option(
        "--output",
        "-o",
        metavar="FILE",
        help="Where to write the model, or `-` for stdout; without it the name is derived",
    ),
]
Json = Annotated[bool, option("--json", help="Print the report as JSON, one object a line")]
Force = Annotated[bool, option("--force", "-f", help="Replace an existing output file")]
Seed = Annotated[int, option("--seed", min=0, help="Same seed, same threads, same result")]
Data = Annotated[
    str | None,
    option("--data", metavar="BARS", help="Parquet or CSV bars to calibrate and judge on"),
]
Symbol = Annotated[
    str | None, option("--symbol", help="Which instrument, where the bars hold several")
]
ArchFactory = Annotated[
    str | None,
    option(
        "--arch",
        metavar="MODULE:FACTORY",
        help="Your own network: imports that module, so it runs its code",
    ),
]
TrustPickle = Annotated[
    str | None,
    option("--trust-pickle", metavar="SHA256", help="Run the pickle of exactly this file"),
]
TimedSeconds = Annotated[
    float,
    option(
        "--seconds",
        min=0.01,
        metavar="S",
        help="Of measured calls of each model and batch size; more where noise hides a gain",
    ),
]
Plot = Annotated[
    str | None,
    option("--plot", metavar="FILE", help="Also draw it: .png, .svg or .html"),
]
