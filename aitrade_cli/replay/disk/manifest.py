"""The manifest of a store: what it holds and how it is laid out."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from aitrade_cli.errors import BadInput
from aitrade_cli.replay.disk.format import VERSION, NewerStore
from aitrade_cli.replay.schema import BadSchema, Schema

FORMAT: Final = "aitrade-replay"
NAME: Final = "replay.json"
RAW: Final = "raw"


class DamagedManifest(BadInput):
    """`replay.json` is not what was written."""

    default_hint = "`aitrade replay repair STORE` writes it again from a segment"


@dataclass(frozen=True, slots=True)
class Packing:
    """A codec as the manifest names it; blocks refer to it by its position."""

    name: str
    setup: bytes = b""


@dataclass(frozen=True)
class Manifest:
    """What is true of a store for as long as it lives.

    Attributes:
        store: eight random bytes that stand in every header.
        schema: what a record holds.
        capacity: rows that are kept.
        segment_rows: rows of one segment file at most.
        block_rows: rows of one block at most.
        codecs: that blocks may be packed with; the last one packs new blocks.
        version: of the format.
    """

    store: bytes
    schema: Schema
    capacity: int
    segment_rows: int
    block_rows: int
    codecs: tuple[Packing, ...] = (Packing(RAW),)
    version: int = VERSION

    def to_bytes(self) -> bytes:
        """JSON whose ``crc32`` is that of the text without it."""
        body = self.to_json()
        return dumped({**body, "crc32": zlib.crc32(dumped(body))})

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "version": self.version,
            "store": self.store.hex(),
            "capacity": self.capacity,
            "segment_rows": self.segment_rows,
            "block_rows": self.block_rows,
            "codecs": [
                {"name": codec.name, "setup": base64.b64encode(codec.setup).decode()}
                for codec in self.codecs
            ],
            "schema": self.schema.to_json(),
        }

    def packing_with(self, packing: Packing) -> Manifest:
        """The same with new blocks packed by another codec."""
        if self.codecs[-1] == packing:
            return self
        return replace(self, codecs=(*self.codecs, packing))


def dumped(body: dict[str, Any]) -> bytes:
    return json.dumps(body, indent=1).encode() + b"\n"


def parse(data: bytes) -> Manifest:
    """Read what ``to_bytes`` wrote.

    Raises:
        DamagedManifest: a byte of it is another one.
        NewerStore: it is whole and of a later version.
    """
    try:
        body = json.loads(data)
        check = body.pop("crc32")
        if check != zlib.crc32(dumped(body)) or body["format"] != FORMAT:
            raise DamagedManifest(f"the checksum of `{NAME}` is wrong")
        if body["version"] > VERSION:
            raise NewerStore(body["version"])
        return Manifest(
            bytes.fromhex(body["store"]),
            Schema.from_json(body["schema"]),
            int(body["capacity"]),
            int(body["segment_rows"]),
            int(body["block_rows"]),
            tuple(
                Packing(codec["name"], base64.b64decode(codec["setup"])) for codec in body["codecs"]
            ),
            int(body["version"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, BadSchema) as error:
        raise DamagedManifest(f"`{NAME}` is damaged") from error


def read(folder: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        DamagedManifest: see there.
        NewerStore: see there.
        OSError: there is none.
    """
    return parse((folder / NAME).read_bytes())
