"""A `.pt2` with a native library inside, read as data. Nothing of it is run or written here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from aitrade_cli.model.archive import pack
from aitrade_cli.model.artefact import EXTRA_MEMBER
from aitrade_cli.model.card import Card
from aitrade_cli.model.loading.members import Members
from aitrade_cli.model.loading.sniff import NativeCode

FOLDER: Final = "data/aotinductor/"
# What torch writes into a package of one model: the library and its sources.
PART: Final = re.compile(
    r"data/aotinductor/model/[\w.-]+\.(so|cpp|json)|archive_format|archive_version|byteorder"
    r"|\.data/(version|serialization_id)"
)


def is_native_package(members: Mapping[str, bytes]) -> bool:
    """True where the archive says that it was compiled ahead of time."""
    return any(name.startswith(FOLDER) for name in members)


def read_package(members: Members, card: Card | None) -> bytes:
    """The package packed again from the members that torch needs, without our card.

    Raises:
        NativeCode: `aitrade compile` did not write it, or it holds what that never writes.
    """
    if card is None or card.runs_on is None or card.runs_on.runtime != "aoti":
        found = next(name for name in members if name.startswith(FOLDER))
        raise NativeCode(f"the package holds a native library, `{found}`, and no card of ours")
    shape = card.inputs[0].shape if card.inputs else ()
    if len(shape) != 3 or not isinstance(shape[2], int):
        raise NativeCode("the package does not say which windows its native library takes")
    strange = [name for name in members if name != EXTRA_MEMBER and not PART.fullmatch(name)]
    if strange:
        raise NativeCode(f"`{strange[0][:80]}` does not belong in a compiled package")
    kept = {name: content for name, content in members.items() if name != EXTRA_MEMBER}
    return pack({f"{members.root}/{name}": content for name, content in kept.items()})
