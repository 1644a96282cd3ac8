"""The tensors that a `.pt2` keeps as raw members, held against the sizes its JSON tells."""

# ruff: noqa: ANN401 -- values from a file have the type the file gives them

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aitrade_cli.model.loading.plain_pickle import BadPickle
from aitrade_cli.model.loading.program_json import BadProgram
from aitrade_cli.model.loading.tensors import check_view

# torch._export.serde.schema.ScalarType -> bytes
ITEM_BYTES: Final = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 9: 4, 10: 8, 11: 16, 12: 1, 13: 2,
    28: 2, 29: 1, 30: 1, 31: 1, 32: 1,
}  # fmt: skip


def check_payloads(
    config: Mapping[str, Any], members: Mapping[str, bytes], folder: str
) -> set[str]:
    """Every member a config names, each proven to hold what its tensors look into.

    Raises:
        BadProgram: an entry has no proper form, or its member is missing or too small.
    """
    entries = config.get("config")
    if not isinstance(entries, dict):
        raise BadProgram(f"the config of `{folder}` is no table")
    names = set()
    for name, entry in entries.items():
        path = entry.get("path_name") if isinstance(entry, dict) else None
        if not isinstance(path, str) or "/" in path or f"{folder}/{path}" not in members:
            raise BadProgram(f"`{name[:80]}` has no member in `{folder}`")
        if not isinstance(entry.get("use_pickle"), bool):
            raise BadProgram(f"`{name[:80]}` does not say whether it is pickled")
        if not entry["use_pickle"]:
            check_raw(name, entry.get("tensor_meta"), len(members[f"{folder}/{path}"]))
        names.add(path)
    return names


def check_raw(name: str, meta: Any, size: int) -> None:
    try:
        item = ITEM_BYTES[meta["dtype"]]
        extents, strides = (
            tuple(axis["as_int"] for axis in meta[key]) for key in ("sizes", "strides")
        )
        offset = meta["storage_offset"]["as_int"]
    except (KeyError, TypeError) as error:
        raise BadProgram(f"`{name[:80]}` has no proper size or dtype") from error
    if size % item:
        raise BadProgram(f"`{name[:80]}` ends inside a number")
    try:
        check_view(size // item, offset, extents, strides)
    except BadPickle as error:
        raise BadProgram(f"`{name[:80]}`: {error}") from error
