"""Make the folder of a store, or open one that is there."""

from __future__ import annotations

import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from aitrade_cli.errors import BadInput, Refused, Usage
from aitrade_cli.files import create, sync_folder
from aitrade_cli.replay import lock
from aitrade_cli.replay.disk import head, manifest
from aitrade_cli.replay.disk.format import Mark
from aitrade_cli.replay.disk.manifest import DamagedManifest, Manifest, Packing
from aitrade_cli.replay.disk.scanning import FOLDER, Mapped, Moved, header_of, segment_files
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.ring import SPARE
from aitrade_cli.replay.schema import Schema, SchemaMismatch

BLOCK_ROWS: Final = 256  # what one torn header can cost at most
BLOCK_BYTES: Final = 16 * 1024**2  # of raw records: what is packed and unpacked in one piece
MOST_ROWS: Final = 2**31 - 1 - SPARE  # the links between rows are numbers of 32 bits
SEGMENT_BYTES: Final = 64 * 1024**2
SEGMENTS_OF_A_RING: Final = 8  # so that eviction frees an eighth at a time
OURS: Final = {head.NAME, lock.NAME, FOLDER, manifest.NAME}


class ForeignFolder(Refused):
    """The folder is there and no replay store."""

    default_hint = "name a folder that is not there yet, or is empty"


class NoStore(BadInput):
    """There is no store at that place."""

    default_hint = "`aitrade replay create STORE --obs 64:float32 --act 1:int64 --capacity 1M`"


@dataclass(frozen=True, slots=True)
class NewStore:
    """What a store that is not there yet will hold."""

    schema: Schema
    capacity: int
    codec: Codec | None = None


def is_store(folder: Path) -> bool:
    """Whether a store was ever finished there, damaged or not."""
    return (folder / manifest.NAME).exists() or bool(
        folder.is_dir() and (folder / head.NAME).exists() and segment_files(folder)
    )


def create_store(folder: Path, new: NewStore) -> Manifest:
    """Make an empty store; the manifest comes last, so a killed one was never there.

    Raises:
        ForeignFolder: something lies there, or somebody was quicker to make a store.
        StoreInUse: somebody makes one there at this moment.
        OSError: the folder cannot be made or written.
    """
    if folder.exists():
        refuse_foreign(folder)
    made = manifest_of(new)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    held = lock.Lock(folder)
    try:
        refuse_foreign(folder)  # again: who held the lock before may have made one
        head.write_both(folder, Mark(made.store, 0, 0, 0, 0))
        create(folder / manifest.NAME, made.to_bytes())
        sync_folder(folder.parent)
    finally:
        held.release()
    return made


def refuse_foreign(folder: Path) -> None:
    """Raises:
    ForeignFolder: the folder holds what no store that was begun would.
    """
    if not folder.is_dir():
        raise ForeignFolder(f"`{folder}` is a file")
    names = {path.name for path in folder.iterdir() if not is_neighbour(path)}
    if is_store(folder):
        raise ForeignFolder(
            f"`{folder}` is a replay store already",
            hint=f"`aitrade replay info {folder}` shows what it holds",
        )
    others = names - OURS or {f"{FOLDER}/{path.name}" for _, path in segment_files(folder)}
    if others:
        raise ForeignFolder(f"`{folder}` holds other files, `{min(others)}` among them")


def is_neighbour(path: Path) -> bool:
    """Whether it is what a killed process left beside a file that it was about to replace."""
    return path.name.startswith(".aitrade-") and path.suffix == ".tmp"


def manifest_of(new: NewStore) -> Manifest:
    """Raises:
    Usage: the capacity is below 1, or above what links can point to.
    """
    if new.capacity < 1:
        raise Usage(f"the capacity is at least 1, got `{new.capacity}`")
    if new.capacity > MOST_ROWS:
        raise Usage(
            f"the capacity is at most {MOST_ROWS:,} rows, got `{new.capacity:,}`",
            hint="use several stores",
        )
    record = new.schema.record_bytes
    segment = min(max(1, new.capacity // SEGMENTS_OF_A_RING), max(1, SEGMENT_BYTES // record))
    made = Manifest(
        secrets.token_bytes(8),
        new.schema,
        new.capacity,
        segment,
        1,
    )
    made = replace(made, block_rows=block_rows_of(made))
    if new.codec is not None:
        return made.packing_with(Packing(new.codec.name, new.codec.setup))
    return made


def block_rows_of(made: Manifest) -> int:
    """Rows of a full block: the more, the better they pack, and the more a torn header costs."""
    rows = max(1, BLOCK_BYTES // made.schema.record_bytes)
    return min(rows, BLOCK_ROWS, made.segment_rows)


def manifest_in(folder: Path) -> Manifest:
    """The manifest of a store; where it is damaged, the one that a segment holds.

    Raises:
        NoStore: nothing is there.
        ForeignFolder: something else is there.
        DamagedManifest: it is damaged, and so is every copy.
        NewerStore: the store is of a later version.
    """
    if not folder.is_dir():
        raise NoStore(f"there is no replay store at `{folder}`")
    if not is_store(folder):
        raise ForeignFolder(f"`{folder}` is no replay store", hint=NoStore.default_hint)
    try:
        return manifest.read(folder)
    except (DamagedManifest, FileNotFoundError):
        return manifest_of_segments(folder)


def manifest_of_segments(folder: Path) -> Manifest:
    copies: list[Manifest] = []
    for _, path in reversed(segment_files(folder)):
        with suppress(Moved, DamagedManifest), Mapped(path) as data:
            found, _ = header_of(data)
            if found is not None:
                copies.append(manifest.parse(found.manifest))
    if copies:
        # a compact that was killed has told only some of its segments of a new codec
        return max(copies, key=lambda made: len(made.codecs))
    raise DamagedManifest(f"`{folder / manifest.NAME}` is damaged, and so is every copy of it")


def refuse_other(wanted: Schema, found: Schema, folder: Path) -> None:
    """Raises:
    SchemaMismatch: the store has other fields.
    """
    asked = {field.name: field for field in wanted.fields}
    there = {field.name: field for field in found.fields}
    for name in {**there, **asked}:
        one, other = asked.get(name), there.get(name)
        if one != other:
            raise SchemaMismatch(
                f"`{folder}` has `{name}` as `{other or 'no field'}`, asked for is "
                f"`{one or 'no field'}`"
            )
