"""Blocks of records to bytes and back, and the checksum of each record."""

from __future__ import annotations

import zlib
from typing import Final

import numpy as np
from jaxtyping import Bool, UInt8

from aitrade_cli.replay.disk.format import BlockHeader
from aitrade_cli.replay.disk.manifest import RAW, Manifest, Packing
from aitrade_cli.replay.interfaces import Codec
from aitrade_cli.replay.schema import CHECKSUM_BYTES

LOW_BITS: Final = 0xFFFFFFFF
Records = UInt8[np.ndarray, "n record"]


class Raw:
    """Leaves records as they are."""

    name = RAW
    setup = b""

    def encode(self, block: Records) -> bytes:
        return block.tobytes()

    def decode(self, data: bytes, count: int, record_bytes: int) -> Records:
        made = raw_records(memoryview(data), count, record_bytes)
        if made is None:
            raise ValueError(f"{len(data)} bytes are not {count} records of {record_bytes}")
        return made


def raw_records(data: memoryview, count: int, record_bytes: int) -> Records | None:
    if len(data) != count * record_bytes:
        return None
    return np.frombuffer(data, np.uint8).reshape(count, record_bytes)


def codecs_of(manifest: Manifest) -> list[Codec]:
    """The codecs of a store, in the order in which blocks refer to them."""
    return [codec_of(packing) for packing in manifest.codecs]


def codec_of(packing: Packing) -> Codec:
    if packing.name == RAW:
        return Raw()
    from aitrade_cli.replay.packing.codecs import codec_named

    return codec_named(packing.name, packing.setup)


def sums_of(records: Records, first: int) -> np.ndarray:
    """The checksum of each record, begun with its index: a row in a wrong place is noticed."""
    count, length = records.shape
    raw = np.ascontiguousarray(records).reshape(-1).data
    end = length - CHECKSUM_BYTES
    starts = range(0, count * length, length)
    return np.array(
        [
            zlib.crc32(raw[start : start + end], (first + row) & LOW_BITS)
            for row, start in enumerate(starts)
        ],
        np.uint32,
    )


def kept_sums(records: Records) -> np.ndarray:
    """The checksums that lie in the records."""
    return np.ascontiguousarray(records[:, -CHECKSUM_BYTES:]).view("<u4")[:, 0]


def seal(records: Records, first: int) -> None:
    """Write each record's checksum into its last bytes."""
    records[:, -CHECKSUM_BYTES:] = sums_of(records, first).astype("<u4")[:, None].view(np.uint8)


def whole_rows(records: Records, first: int) -> Bool[np.ndarray, " n"]:
    """Which records are what was written."""
    return sums_of(records, first) == kept_sums(records)


def decoded(
    payload: memoryview, header: BlockHeader, codecs: list[Codec], record_bytes: int
) -> Records | None:
    """The records of a block, or None where they cannot be unpacked."""
    if header.codec >= len(codecs):
        return None
    codec = codecs[header.codec]
    if codec.name == RAW:
        return raw_records(payload, header.count, record_bytes)
    try:
        made = codec.decode(bytes(payload), header.count, record_bytes)
    except ValueError:
        return None
    return made if made.shape == (header.count, record_bytes) else None
