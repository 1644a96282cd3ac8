"""Where the real bars and trained models lie that the checks measure on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import aitrade_cli
from aitrade_cli.errors import Missing

MODELS: Final = ("mlp", "lstm", "gru", "tcn", "transformer", "deeplob")


class NoFixtures(Missing):
    """Neither the installed package nor the clone beside it holds the fixtures."""

    default_hint = "set AITRADE_FIXTURES to the `fixtures` folder of a clone"


def fixtures_folder() -> Path:
    """The folder with `bars/` and `models/`: from AITRADE_FIXTURES, the wheel, or the clone.

    Raises:
        NoFixtures: none of the three is there.
    """
    package = Path(aitrade_cli.__path__[0])
    named = os.environ.get("AITRADE_FIXTURES")
    places = [Path(named)] if named else [package / "fixtures", package.parent / "fixtures"]
    for place in places:
        if (place / "models").is_dir() and (place / "bars").is_dir():
            return place
    raise NoFixtures(f"no bars and models in `{places[-1]}`")


def model_file(name: str) -> Path:
    """One of the six fixture models.

    Raises:
        NoFixtures: the file is not there.
    """
    path = fixtures_folder() / "models" / f"{name}.pt"
    if not path.is_file():
        raise NoFixtures(f"`{path.name}` is missing from the fixtures")
    return path
